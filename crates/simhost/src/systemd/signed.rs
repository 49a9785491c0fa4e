//! How systemd speaks on its private socket: every message names `org.freedesktop.systemd1` as its sender. No bus would let it, as
//! senders are unique names there, and a client that insists on one understands nothing of a real systemd.
//!
//! zbus cannot be told to do so; the field is put into each message on its way out.

use std::io::Result;
use std::os::fd::{BorrowedFd, OwnedFd};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;
use zbus::fdo::ConnectionCredentials;

/// Who speaks.
const NAME: &str = "org.freedesktop.systemd1";
/// The code of the header field `SENDER`.
const SENDER: u8 = 7;
/// The header up to its fields, with the array's length.
const FIXED: usize = 16;

/// A connected socket.
#[derive(Debug)]
pub(super) struct Signed(pub(super) UnixStream);

impl Socket for Signed {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let (read, write) = self.0.into_split();
        Split::new(Reader(read), Writer(write))
    }
}

#[derive(Debug)]
pub(super) struct Reader(OwnedReadHalf);

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
        use tokio::io::AsyncReadExt;
        Ok((self.0.read(buffer).await?, Vec::new()))
    }

    /// systemd too lets in whom the kernel names.
    async fn peer_credentials(&mut self) -> Result<ConnectionCredentials> {
        let peer = self.0.as_ref().peer_cred()?;
        Ok(ConnectionCredentials::default().set_unix_user_id(peer.uid()))
    }
}

#[derive(Debug)]
pub(super) struct Writer(OwnedWriteHalf);

#[async_trait]
impl WriteHalf for Writer {
    /// Takes a whole message, or lines of the handshake, and writes all of it.
    async fn sendmsg(&mut self, buffer: &[u8], _fds: &[BorrowedFd<'_>]) -> Result<usize> {
        use tokio::io::AsyncWriteExt;
        match sign(buffer) {
            Some(signed) => self.0.write_all(&signed).await?,
            None => self.0.write_all(buffer).await?,
        }
        Ok(buffer.len())
    }

    async fn close(&mut self) -> Result<()> {
        use tokio::io::AsyncWriteExt;
        self.0.shutdown().await
    }
}

/// A message with the sender behind its other header fields; `None` for what is no message. zbus writes little endian here, and
/// names no sender without a bus.
fn sign(message: &[u8]) -> Option<Vec<u8>> {
    if message.first() != Some(&b'l') {
        return None;
    }
    let fields = usize::try_from(u32::from_le_bytes(message.get(12..FIXED)?.try_into().ok()?)).ok()?;
    let end = FIXED.checked_add(fields)?;
    let body = message.get(end.div_ceil(8) * 8..)?;
    let mut signed = message.get(..end)?.to_vec();
    let pad = |bytes: &mut Vec<u8>| bytes.resize(bytes.len().div_ceil(8) * 8, 0);
    pad(&mut signed);
    signed.extend([SENDER, 1, b's', 0]);
    signed.extend(u32::try_from(NAME.len()).ok()?.to_le_bytes());
    signed.extend(NAME.bytes().chain([0]));
    let fields = u32::try_from(signed.len() - FIXED).ok()?;
    signed[12..FIXED].copy_from_slice(&fields.to_le_bytes());
    pad(&mut signed);
    signed.extend(body);
    Some(signed)
}

#[cfg(test)]
mod tests {
    use super::sign;

    #[test]
    fn a_signed_message_says_who_speaks_and_the_same_as_before() {
        let build = |sender: Option<&str>| {
            let call = zbus::Message::method_call("/org/freedesktop/systemd1", "LoadUnit").build(&("a",)).unwrap();
            let mut reply = zbus::Message::method_return(&call.header());
            if let Some(sender) = sender {
                reply = reply.sender(sender);
            }
            reply.build(&(true, "text")).unwrap()
        };
        let (plain, like) = (build(None), build(Some(":rg.freedesktop.systemd1")));
        let signed = sign(plain.data()).unwrap();
        assert_eq!(signed.len(), like.data().len(), "as long as one that zbus signs");
        let body = plain.body().data().len();
        assert_eq!(signed[signed.len() - body..], plain.data()[plain.data().len() - body..]);
        assert!(signed.windows(25).any(|window| window == b"org.freedesktop.systemd1\0"));
        assert_eq!(sign(b"OK 0123\r\n"), None);
    }
}
