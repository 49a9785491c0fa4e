//! Container logs: written to files as container runtimes do (`<time> stdout F <line>`), read back for `pods/log`.

use bytes::Bytes;
use jiff::Timestamp;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, watch};

/// The longest line that is kept whole; a longer one is cut into parts marked `P`.
const LINE_LIMIT: u64 = 16 * 1024;

/// The logs that are being written; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    live: Arc<Mutex<HashMap<PathBuf, watch::Sender<()>>>>,
}

/// What part of a log is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Go on with new lines until the container ends.
    pub follow: bool,
    /// Put the time before each line.
    pub timestamps: bool,
    /// Only the last lines.
    pub tail: Option<u64>,
    /// Only lines that are not older.
    pub since: Option<Timestamp>,
    /// At most so many bytes.
    pub limit: Option<u64>,
}

impl Logs {
    fn live(&self) -> MutexGuard<'_, HashMap<PathBuf, watch::Sender<()>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes both outputs of a container to a new file until both end; the returned task is then done.
    pub async fn write<O, E>(&self, path: PathBuf, output: O, errors: E) -> io::Result<tokio::task::JoinHandle<()>>
    where
        O: AsyncRead + Unpin + Send + 'static,
        E: AsyncRead + Unpin + Send + 'static,
    {
        if let Some(parent) = path.parent() {
            tokio::fs::create_dir_all(parent).await?;
        }
        let mut file = tokio::fs::File::create(&path).await?;
        let (sender, mut lines) = mpsc::channel::<Vec<u8>>(64);
        self.live().insert(path.clone(), watch::Sender::new(()));
        tokio::spawn(read_lines(output, "stdout", sender.clone()));
        tokio::spawn(read_lines(errors, "stderr", sender));
        let logs = self.clone();
        Ok(tokio::spawn(async move {
            while let Some(mut text) = lines.recv().await {
                while let Ok(more) = lines.try_recv() {
                    text.extend(more);
                }
                // A full disk loses lines, as it would on a real node; the container must not block on that.
                if let Err(error) = file.write_all(&text).await {
                    tracing::warn!(path = %path.display(), %error, "log lines lost");
                }
                let _ = file.flush().await;
                if let Some(sender) = logs.live().get(&path) {
                    sender.send_replace(());
                }
            }
            logs.live().remove(&path);
        }))
    }

    /// Reads a log; pieces come through the channel until its end, or the container's when following.
    pub async fn read(&self, path: &Path, selection: Selection) -> io::Result<mpsc::Receiver<io::Result<Bytes>>> {
        // Subscribed before the file is read, so that no line falls between.
        let mut news = self.live().get(path).map(watch::Sender::subscribe);
        let mut file = tokio::fs::File::open(path).await?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).await?;
        let mut position = complete(&text);
        let mut left = selection.limit.unwrap_or(u64::MAX);
        let first = render(&text[..position], &selection, &mut left);
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            if !first.is_empty() && sender.send(Ok(first.into())).await.is_err() {
                return;
            }
            let following = Selection { tail: None, since: None, ..selection };
            while selection.follow && left > 0 {
                let more = match &mut news {
                    Some(news) => tokio::select! {
                        changed = news.changed() => changed.is_ok(),
                        () = sender.closed() => return,
                    },
                    None => false,
                };
                let mut text = Vec::new();
                let read = async {
                    file.seek(io::SeekFrom::Start(position as u64)).await?;
                    file.read_to_end(&mut text).await
                };
                if let Err(error) = read.await {
                    let _ = sender.send(Err(error)).await;
                    return;
                }
                let end = complete(&text);
                position += end;
                let piece = render(&text[..end], &following, &mut left);
                if !piece.is_empty() && sender.send(Ok(piece.into())).await.is_err() {
                    return;
                }
                if !more {
                    return;
                }
            }
        });
        Ok(receiver)
    }
}

async fn read_lines(source: impl AsyncRead + Unpin, stream: &'static str, lines: mpsc::Sender<Vec<u8>>) {
    let mut reader = BufReader::new(source);
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(LINE_LIMIT).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let whole = line.last() == Some(&b'\n');
        let mut text = format!("{} {stream} {} ", Timestamp::now(), if whole { 'F' } else { 'P' }).into_bytes();
        text.extend(&line);
        if !whole {
            text.push(b'\n');
        }
        if lines.send(text).await.is_err() {
            return;
        }
    }
}

/// Returns the length of the whole lines.
fn complete(text: &[u8]) -> usize {
    text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

/// Splits `<time> <stream> <F|P> <text>`; a line of another form is taken as it is.
fn split(line: &[u8]) -> (&[u8], bool, &[u8]) {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(time), Some(_), Some(tag), Some(text)) => (time, tag == b"F", text),
        _ => (b"", true, line),
    }
}

/// Returns the selected lines as a client gets them; `left` is the number of bytes that may still be sent.
fn render(text: &[u8], selection: &Selection, left: &mut u64) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    lines.pop(); // what follows the last newline
    if let Some(since) = selection.since {
        lines.retain(|line| {
            let (time, ..) = split(line);
            let time = std::str::from_utf8(time).ok().and_then(|time| time.parse::<Timestamp>().ok());
            time.is_none_or(|time| time >= since)
        });
    }
    if let Some(tail) = selection.tail {
        let skip = lines.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX));
        lines.drain(..skip);
    }
    let mut result = Vec::new();
    for line in lines {
        let (time, whole, text) = split(line);
        if selection.timestamps {
            result.extend(time);
            result.push(b' ');
        }
        result.extend(text);
        if whole {
            result.push(b'\n');
        }
    }
    result.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
    *left -= result.len() as u64;
    result
}

/// Returns the last lines of a log, at most 80 and 2048 bytes, for a termination message.
pub fn last_lines(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let selection = Selection { tail: Some(80), ..Default::default() };
    let lines = render(&text[..complete(&text)], &selection, &mut u64::MAX.clone());
    let start = lines.len().saturating_sub(2048);
    String::from_utf8_lossy(&lines[start..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn collect(mut receiver: mpsc::Receiver<io::Result<Bytes>>) -> String {
        let mut text = Vec::new();
        while let Some(piece) = receiver.recv().await {
            text.extend(piece.unwrap());
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn followers_get_every_line_and_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c/0.log");
        let logs = Logs::default();
        let (mut output, source) = tokio::io::duplex(64);
        let task = logs.write(path.clone(), source, tokio::io::empty()).await.unwrap();
        output.write_all(b"one\ntwo\n").await.unwrap();
        let follow = Selection { follow: true, ..Default::default() };
        let follower = tokio::spawn(collect(logs.read(&path, follow).await.unwrap()));
        output.write_all(b"three").await.unwrap();
        drop(output);
        task.await.unwrap();
        let text = tokio::time::timeout(Duration::from_secs(5), follower).await.unwrap().unwrap();
        assert_eq!(text, "one\ntwo\nthree");
        let tail = Selection { tail: Some(2), ..Default::default() };
        assert_eq!(collect(logs.read(&path, tail).await.unwrap()).await, "two\nthree");
        let limited = Selection { limit: Some(5), follow: true, ..Default::default() };
        assert_eq!(collect(logs.read(&path, limited).await.unwrap()).await, "one\nt");
        assert_eq!(last_lines(&path), "one\ntwo\nthree");
    }

    #[test]
    fn times_select_and_are_shown() {
        let text = b"2026-01-01T00:00:00Z stdout F old\n2026-01-01T00:00:09Z stderr F new\nodd\n";
        let since = Some("2026-01-01T00:00:05Z".parse().unwrap());
        let selection = Selection { since, timestamps: true, ..Default::default() };
        let shown = render(text, &selection, &mut u64::MAX.clone());
        assert_eq!(String::from_utf8(shown).unwrap(), "2026-01-01T00:00:09Z new\n odd\n");
    }
}
