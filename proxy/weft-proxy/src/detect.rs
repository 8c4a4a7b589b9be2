//! What a connection speaks, from its first bytes.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Client silence after which the server may be the one who speaks first.
pub const SILENCE: Duration = Duration::from_millis(50);
/// Bytes that could still become HTTP are waited for this long.
const UNDECIDED: Duration = Duration::from_secs(1);
/// A request line that has begun is whole within this long.
const LINE: Duration = Duration::from_secs(10);
/// Longest request line that is still taken for HTTP.
const MAX_LINE: usize = 64 * 1024;
const FIRST_READ: usize = 4096;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const MAX_METHOD: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Http1,
    Http2,
    /// A TLS ClientHello.
    Tls,
    Opaque,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Kind(Kind),
    /// The client has not said a word in time.
    Silent,
    /// The client ended without a word.
    Closed,
}

/// What `bytes` begin; none when more are needed to tell.
///
/// HTTP/1 is believed only by its whole request line: Redis and SMTP begin with upper-case words as well.
pub fn classify(bytes: &[u8]) -> Option<Kind> {
    let is_preface = bytes.iter().zip(PREFACE).all(|(is, should)| is == should);
    match bytes {
        [] | [0x16] => None,
        _ if is_preface => (bytes.len() >= PREFACE.len()).then_some(Kind::Http2),
        [0x16, 0x03, ..] => Some(Kind::Tls),
        _ => classify_line(bytes),
    }
}

/// Servers skip empty lines before a request line, so they hide none from this proxy either.
fn classify_line(bytes: &[u8]) -> Option<Kind> {
    let start = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let bytes = bytes.get(start..)?;
    if bytes.is_empty() {
        return (start > MAX_LINE).then_some(Kind::Opaque);
    }
    let method = bytes.iter().take_while(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_')).count();
    let is_method = (1..=MAX_METHOD).contains(&method) && bytes.get(method).is_none_or(|b| *b == b' ');
    if !is_method {
        return Some(Kind::Opaque);
    }
    match first_line(bytes) {
        Some(line) => Some(if is_request_line(line) { Kind::Http1 } else { Kind::Opaque }),
        None => (bytes.len() > MAX_LINE).then_some(Kind::Opaque),
    }
}

/// Without its line feed; none while that is to come.
fn first_line(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(..bytes.iter().position(|b| *b == b'\n')?)
}

fn is_request_line(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")
}

/// Whether a lenient server could take `bytes`, which are no HTTP to `classify`, for a request; none when more are
/// needed to tell. Names of methods in lower case, blanks or a version that is none do not keep everybody from it.
pub fn could_pass_for_http(bytes: &[u8]) -> Option<bool> {
    let start = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let line = bytes.get(start..)?;
    if !line.first()?.is_ascii_alphanumeric() && !b"!#$%&'*+-.^_`|~".contains(line.first()?) {
        return Some(false);
    }
    if let Some(line) = first_line(line) {
        return Some(line.windows(5).any(|w| w.eq_ignore_ascii_case(b"HTTP/")));
    }
    let mut word = line.iter().take_while(|b| !matches!(b, b' ' | b'\t'));
    if word.any(|b| b.is_ascii_control() && *b != b'\r') { Some(false) } else { None }
}

/// Reads on until it is clear what a client brings to a port that others trust to be HTTP: nothing passes that the
/// application could read as a request and this proxy does not. None: it is neither.
pub async fn settle(stream: &TcpStream, buf: &mut BytesMut, http_only: bool) -> io::Result<Option<Kind>> {
    let settled = async {
        loop {
            match classify(buf) {
                Some(Kind::Opaque) if buf.len() > MAX_LINE => return Ok(None),
                Some(Kind::Opaque) if http_only => return Ok(None),
                Some(Kind::Opaque) => match could_pass_for_http(buf) {
                    Some(true) => return Ok(None),
                    Some(false) => return Ok(Some(Kind::Opaque)),
                    None => {}
                },
                Some(kind) => return Ok(Some(kind)),
                None => {}
            }
            if read_some(stream, buf).await? == 0 {
                return Ok((!http_only).then_some(Kind::Opaque));
            }
        }
    };
    timeout(LINE, settled).await.unwrap_or(Ok(None))
}

/// How long to wait for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// The port speaks HTTP: its client will speak, however late, and what it begins it will end.
    Http,
    /// The first byte may never come, and what comes may only look like HTTP at first.
    Silence(Duration),
    /// Bytes are there, of whatever kind.
    Spoken,
}

/// Reads into `buf` until the kind is clear, or `patience` ends.
pub async fn detect(stream: &TcpStream, buf: &mut BytesMut, patience: Patience) -> io::Result<Found> {
    if buf.is_empty() {
        let first = match patience {
            Patience::Http | Patience::Spoken => read_some(stream, buf).await,
            Patience::Silence(limit) => match timeout(limit, read_some(stream, buf)).await {
                Ok(read) => read,
                Err(_) => return Ok(Found::Silent),
            },
        };
        if first? == 0 {
            return Ok(Found::Closed);
        }
    }
    let kind = match patience {
        Patience::Http => timeout(LINE, decide(stream, buf)).await.map_err(|_| slow())?,
        _ => timeout(UNDECIDED, decide(stream, buf)).await.unwrap_or(Ok(Kind::Opaque)),
    };
    Ok(Found::Kind(kind?))
}

fn slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no whole request line in time")
}

async fn decide(stream: &TcpStream, buf: &mut BytesMut) -> io::Result<Kind> {
    loop {
        if let Some(kind) = classify(buf) {
            return Ok(kind);
        }
        if read_some(stream, buf).await? == 0 {
            return Ok(Kind::Opaque);
        }
    }
}

/// Reads what there is; a waiting connection holds no buffer.
pub async fn read_some(stream: &TcpStream, buf: &mut BytesMut) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        buf.reserve(FIRST_READ);
        match stream.try_read_buf(buf) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    /// Every prefix of a request either waits or is already right: more bytes never change an answer.
    #[test]
    fn prefixes_never_mislead() {
        let cases: [(&[u8], Kind); 11] = [
            (b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n", Kind::Http1),
            (b"PURGE /a HTTP/1.0\n", Kind::Http1),
            (b"\r\n\nGET /a HTTP/1.1\r\n", Kind::Http1),
            (b"\r\nSET key value\r\n", Kind::Opaque),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", Kind::Http2),
            (b"PRINT /x HTTP/1.1\r\n", Kind::Http1),
            (b"\x16\x03\x01\x02\x00\x01", Kind::Tls),
            (b"\x16\x04", Kind::Opaque),
            (b"SET key value\r\n", Kind::Opaque),
            (b"*1\r\n$4\r\nPING\r\n", Kind::Opaque),
            (b"EHLO mail.example\r\n", Kind::Opaque),
        ];
        for (bytes, kind) in cases {
            let answers: Vec<_> = (0..=bytes.len()).filter_map(|n| classify(&bytes[..n])).collect();
            assert!(!answers.is_empty() && answers.iter().all(|a| *a == kind), "{bytes:?}: {answers:?}");
        }
    }

    /// What a lenient server could read as a request is told from what nobody can.
    #[test]
    fn disguised_requests_are_seen() {
        let cases: [(&[u8], Option<bool>); 14] = [
            (b"get / HTTP/1.1\r\n", Some(true)),
            (b"GET / http/1.1\r\n", Some(true)),
            (b"GET\t/ HTTP/1.1 \r\n", Some(true)),
            (b"\r\n\r\nx / HTTP/2\n", Some(true)),
            (b"GET / HTTP/1.01\n", Some(true)),
            (b"get /", None),
            (b"GET", None),
            (b"\r\n", None),
            (b"*1\r\n$4\r\nPING\r\n", Some(false)),
            (b"SET key value\r\n", Some(false)),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Some(false)),
            (b"AMQP\0\0\x09\x01", Some(false)),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", Some(false)),
            (b"{\"ping\": 1}", Some(false)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(expected, could_pass_for_http(bytes), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    /// A request line without end is not waited for without end.
    #[test]
    fn endless_lines_are_opaque() {
        assert_eq!(Some(Kind::Opaque), classify(&[b"GET /".as_slice(), &vec![b'a'; MAX_LINE]].concat()));
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    /// A client that waits for the server to speak is told apart from one that left.
    #[tokio::test]
    async fn silence_is_not_an_end() {
        let (client, server) = pair().await;
        let mut buf = BytesMut::new();
        assert_eq!(Found::Silent, detect(&server, &mut buf, Patience::Silence(SILENCE)).await.unwrap());
        drop(client);
        assert_eq!(Found::Closed, detect(&server, &mut buf, Patience::Silence(SILENCE)).await.unwrap());
    }

    /// A request line in pieces is put together, and nothing of it is lost.
    #[tokio::test]
    async fn pieces_are_put_together() {
        let (mut client, server) = pair().await;
        let mut buf = BytesMut::new();
        let write = async {
            for piece in [b"GE".as_slice(), b"T / HT", b"TP/1.1\r\n"] {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (found, ()) = tokio::join!(detect(&server, &mut buf, Patience::Http), write);
        assert_eq!((Found::Kind(Kind::Http1), b"GET / HTTP/1.1\r\n".as_slice()), (found.unwrap(), &buf[..]));
    }
}
