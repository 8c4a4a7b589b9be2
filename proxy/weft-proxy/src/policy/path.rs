//! A path as the application will see it, or the word that nobody can know how it will.
//!
//! Rules compare what is percent-decoded once. A path that two readers could take for two different ones has no such
//! form: it lies on no path that a rule allows, and on every path that a rule denies.

use std::borrow::Cow;

/// The path, percent-decoded; none for one that could be read in two ways:
/// - it does not begin with `/` (`*`, CONNECT's authority), or has empty or dot segments, which many servers resolve;
/// - an escape that is none, or that hides what separates (`/`), ends (control characters, NUL) or changes (`\`) a path;
/// - `;`, behind which Java's servers read no path any more;
/// - escapes still there after decoding, or bytes that are no UTF-8: another reader may decode once more, or leniently.
pub fn plain(path: &str) -> Option<Cow<'_, str>> {
    let path = if path.bytes().all(is_plain) { Cow::Borrowed(path) } else { Cow::Owned(decode(path)?) };
    is_one(&path).then_some(path)
}

/// Whether a decoded path can be read in one way only.
pub fn is_one(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else { return false };
    let (before, last) = segments.rsplit_once('/').map_or((None, segments), |(b, last)| (Some(b), last));
    let whole = |segment: &str| !matches!(segment, "" | "." | "..");
    let strange = |byte: u8| byte.is_ascii_control() || matches!(byte, b'\\' | b';');
    let hidden = |three: &[u8]| matches!(three, [b'%', digits @ ..] if escaped(digits).is_some());
    (last.is_empty() || whole(last))
        && before.is_none_or(|before| before.split('/').all(whole))
        && !path.bytes().any(strange)
        && !path.as_bytes().windows(3).any(hidden)
}

/// Stands for itself, however it is read.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,=:@".contains(&byte)
}

fn decode(path: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escape = first == b'%';
        decoded.push(if escape { escaped(after).filter(|byte| *byte != b'/')? } else { first });
        rest = if escape { after.get(2..)? } else { after };
    }
    String::from_utf8(decoded).ok()
}

/// The byte that two hexadecimal digits stand for.
fn escaped(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|d| d as u8);
    match digits {
        [high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the contract's table says, which every language is tested by.
    #[test]
    fn a_path_has_one_spelling_or_none() {
        let table = include_str!("../../../../proto/discovery/v1/paths.txt");
        for line in table.lines().filter(|line| !line.starts_with('#')).chain([""]) {
            let (spelling, path) = line.split_once(' ').map_or((line, None), |(s, p)| (s, Some(p)));
            assert_eq!(path, plain(spelling).as_deref(), "{spelling}");
        }
    }
}
