//! As much of HTTP/1.1 as the bench speaks: heads with or without a length.

const HEAD_END: &[u8] = b"\r\n\r\n";

/// The status of a response that is complete.
pub fn response(bytes: &[u8]) -> Option<u16> {
    let end = find(bytes, HEAD_END)?;
    let status = std::str::from_utf8(bytes.get(9..12)?).ok()?.parse().ok()?;
    let whole = match header(&bytes[..end], b"content-length:") {
        Some(length) => bytes.len() >= end + HEAD_END.len() + number(length),
        None => header(&bytes[..end], b"transfer-encoding:").is_none() || bytes.ends_with(b"0\r\n\r\n"),
    };
    whole.then_some(status)
}

/// How many complete requests stand at the front, and how many bytes they take.
pub fn requests(bytes: &[u8]) -> (usize, usize) {
    let (mut count, mut at) = (0, 0);
    while let Some(end) = find(&bytes[at..], HEAD_END) {
        let length = header(&bytes[at..at + end], b"content-length:").map_or(0, number);
        let next = at + end + HEAD_END.len() + length;
        if bytes.len() < next {
            break;
        }
        (count, at) = (count + 1, next);
    }
    (count, at)
}

fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut lines = head.split(|b| *b == b'\n').skip(1);
    lines
        .find(|l| l.len() > name.len() && l[..name.len()].eq_ignore_ascii_case(name))
        .map(|l| &l[name.len()..])
}

fn number(text: &[u8]) -> usize {
    std::str::from_utf8(text).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}
