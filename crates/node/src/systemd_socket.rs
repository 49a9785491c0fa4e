//! The transport to systemd's private socket.
//!
//! There is no bus on it that would give names, and systemd writes its well-known name into the `SENDER` field of what it says there
//! (`sd_bus_set_sender` in its `dbus.c`). zbus takes only unique names in that field and refuses every message of a real systemd.
//! So the bytes pass through here, and the first letter of such a sender becomes a colon: a unique name of the same length, which
//! nobody looks at.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::{BorrowedFd, OwnedFd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;

/// The code of the header field `SENDER`.
const SENDER: u8 = 7;
/// The header up to its fields, with the array's length.
const FIXED: usize = 16;
/// The protocol's own limit of a message, in bytes.
const MOST: usize = 128 << 20;

/// A connected socket.
#[derive(Debug)]
pub(crate) struct SystemdSocket(pub(crate) UnixStream);

impl Socket for SystemdSocket {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let (read, write) = self.0.into_split();
        Split::new(Reader { stream: read, ready: Vec::new(), line: false }, Writer(write))
    }
}

/// What systemd says.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: OwnedReadHalf,
    /// Read, seen through and not yet asked for.
    ready: Vec<u8>,
    /// In the middle of a line of the handshake.
    line: bool,
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
        if self.ready.is_empty() && !buffer.is_empty() {
            self.next().await?;
        }
        let count = buffer.len().min(self.ready.len());
        buffer[..count].copy_from_slice(&self.ready[..count]);
        self.ready.drain(..count);
        Ok((count, Vec::new()))
    }
}

impl Reader {
    /// Reads a whole message, or a byte of the handshake's lines, whose first words are in capitals; nothing at the end.
    async fn next(&mut self) -> Result<()> {
        let mut first = [0];
        if self.stream.read(&mut first).await? == 0 {
            return Ok(());
        }
        self.ready.push(first[0]);
        if self.line || !matches!(first[0], b'l' | b'B') {
            self.line = first[0] != b'\n';
            return Ok(());
        }
        self.fill(FIXED).await?;
        let whole =
            length(&self.ready).ok_or_else(|| Error::new(ErrorKind::InvalidData, "a D-Bus message too long"))?;
        self.fill(whole).await?;
        neutral_sender(&mut self.ready);
        Ok(())
    }

    async fn fill(&mut self, to: usize) -> Result<()> {
        let have = self.ready.len();
        self.ready.resize(to, 0);
        self.stream.read_exact(&mut self.ready[have..]).await.map(drop)
    }
}

/// What systemd is told.
#[derive(Debug)]
pub(crate) struct Writer(OwnedWriteHalf);

#[async_trait]
impl WriteHalf for Writer {
    async fn sendmsg(&mut self, buffer: &[u8], _fds: &[BorrowedFd<'_>]) -> Result<usize> {
        self.0.write(buffer).await
    }

    async fn close(&mut self) -> Result<()> {
        self.0.shutdown().await
    }
}

/// A number in a message, in the byte order that its first byte tells.
fn number(message: &[u8], at: usize) -> Option<usize> {
    let bytes: [u8; 4] = message.get(at..at.checked_add(4)?)?.try_into().ok()?;
    let number = if message.first() == Some(&b'B') { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
    usize::try_from(number).ok()
}

fn aligned(at: usize, to: usize) -> usize {
    at.div_ceil(to) * to
}

/// The length of the message that begins with these 16 bytes.
fn length(start: &[u8]) -> Option<usize> {
    let (body, fields) = (number(start, 4)?, number(start, 12)?);
    let whole = aligned(FIXED.checked_add(fields)?, 8).checked_add(body)?;
    (whole <= MOST).then_some(whole)
}

/// Makes a sender that is no unique name one. A message that is not understood is left to who reads it.
fn neutral_sender(message: &mut [u8]) {
    if let Some(at) = sender(message)
        && message[at] != b':'
    {
        message[at] = b':';
    }
}

/// Where the text of the sender begins, if there is one.
fn sender(message: &[u8]) -> Option<usize> {
    let end = FIXED.checked_add(number(message, 12)?)?.min(message.len());
    let mut at = FIXED;
    while at < end {
        // A field: its code, a signature of one type, and a value of that type.
        let (code, kind) = (*message.get(at)?, *message.get(at + 2)?);
        at += 4;
        at = match kind {
            b's' | b'o' => {
                let text = aligned(at, 4) + 4;
                let count = number(message, text - 4)?;
                if code == SENDER && count > 0 && text.checked_add(count)? < message.len() {
                    return Some(text);
                }
                text.checked_add(count)?.checked_add(1)?
            }
            b'g' => at + 2 + usize::from(*message.get(at)?),
            b'u' => aligned(at, 4) + 4,
            _ => return None,
        };
        at = aligned(at, 8);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::Message;

    /// A reply as systemd sends it.
    fn reply() -> Vec<u8> {
        let call = Message::method_call("/org/freedesktop/systemd1", "LoadUnit").build(&("a",)).unwrap();
        let reply = Message::method_return(&call.header());
        let reply = reply.sender(":rg.freedesktop.systemd1").build(&("text",)).unwrap();
        let mut bytes = reply.data().to_vec();
        let at = bytes.windows(24).position(|window| window == b":rg.freedesktop.systemd1").unwrap();
        bytes[at] = b'o';
        bytes
    }

    #[test]
    fn a_well_known_sender_becomes_a_unique_one_and_nothing_else_changes() {
        let before = reply();
        let mut after = before.clone();
        neutral_sender(&mut after);
        let changed: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
        assert_eq!(changed.len(), 1);
        assert!(after[changed[0]..].starts_with(b":rg.freedesktop.systemd1\0"));
        let once = after.clone();
        neutral_sender(&mut after);
        assert_eq!(after, once);
    }

    #[test]
    fn the_length_is_that_of_the_whole_message() {
        assert_eq!(length(&reply()[..FIXED]), Some(reply().len()));
        assert_eq!(length(&[b'l', 2, 0, 1, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn cut_and_senseless_messages_are_left_alone() {
        let whole = reply();
        for count in 0..whole.len() {
            neutral_sender(&mut whole[..count].to_vec());
        }
        let mut senseless = vec![255; 64];
        neutral_sender(&mut senseless);
        assert_eq!(senseless, vec![255; 64]);
    }

    #[test]
    fn a_handshake_and_a_message_in_pieces_arrive() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let (mut reader, _writer) = SystemdSocket(ours).split().take();
            let sent = [b"OK 0123lB\r\n".as_slice(), &reply()].concat();
            let count = sent.len();
            let sending = tokio::spawn(async move {
                for byte in sent {
                    theirs.write_all(&[byte]).await.unwrap();
                    tokio::task::yield_now().await;
                }
            });
            let mut got = Vec::new();
            while got.len() < count {
                let mut some = [0; 7];
                let (read, _) = reader.recvmsg(&mut some).await.unwrap();
                assert!(read > 0);
                got.extend_from_slice(&some[..read]);
            }
            sending.await.unwrap();
            assert!(got.starts_with(b"OK 0123lB\r\nl"));
            assert!(got.windows(24).any(|window| window == b":rg.freedesktop.systemd1"));
            assert_eq!(reader.recvmsg(&mut [0; 7]).await.unwrap().0, 0, "the end");
        });
    }
}
