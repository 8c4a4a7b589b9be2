//! Where a client of HTTP/2 is in what it sends: whether `h2` waits for the rest of a head it keeps to itself.

/// What a client begins with (RFC 9113 §3.4).
const PREFACE: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Follows the frames of a client by their lengths.
pub struct Frames {
    /// Bytes of the preface, or of the frame that came last, still to come.
    left: usize,
    /// The head of the next frame, as far as it came.
    head: [u8; 9],
    came: usize,
    is_data: bool,
    /// The preface goes on with a frame, or a block of headers with another one.
    goes_on: bool,
}

impl Default for Frames {
    fn default() -> Self {
        Self { left: PREFACE, head: [0; 9], came: 0, is_data: false, goes_on: true }
    }
}

impl Frames {
    /// Takes what came next.
    pub fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (passed, rest) = bytes.split_at(self.left.min(bytes.len()));
            self.left -= passed.len();
            bytes = if self.left == 0 { self.begin(rest) } else { rest };
        }
    }

    /// Takes the head of a frame, or what there is of it, and returns the rest.
    fn begin<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let missing = self.head.get_mut(self.came..).unwrap_or_default();
        let (now, rest) = bytes.split_at(missing.len().min(bytes.len()));
        missing.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
        self.came += now.len();
        if self.came == self.head.len() {
            let [a, b, c, kind, flags, ..] = self.head;
            self.came = 0;
            self.left = u32::from_be_bytes([0, a, b, c]) as usize;
            self.is_data = kind == DATA;
            self.goes_on = matches!(kind, HEADERS | CONTINUATION) && flags & END_HEADERS == 0;
        }
        rest
    }

    /// Whether something has begun that says nothing before it has ended: the preface, a block of headers, any frame but
    /// data.
    pub fn is_within(&self) -> bool {
        self.goes_on || self.came > 0 || (self.left > 0 && !self.is_data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    /// Whether a client is within something after each of these bytes that come one by one, or all at once.
    fn within(bytes: &[u8]) -> Vec<bool> {
        let (mut slow, mut at_once) = (Frames::default(), Frames::default());
        let each = bytes.chunks(1).map(|byte| {
            slow.follow(byte);
            slow.is_within()
        });
        let each: Vec<_> = each.collect();
        at_once.follow(bytes);
        assert_eq!(each.last(), Some(&at_once.is_within()));
        each
    }

    /// The same after a client has said hello.
    fn within_after_hello(bytes: &[u8]) -> Vec<bool> {
        within(&[HELLO, bytes].concat()).split_off(HELLO.len())
    }

    /// The preface ends with its first frame.
    #[test]
    fn prefaces_are_whole_with_their_settings() {
        assert_eq!(Some(HELLO.len() - 1), within(HELLO).iter().position(|within| !within));
    }

    /// Headers end with the last byte of the frame that says that they end.
    #[test]
    fn headers_end_with_their_last_frame() {
        let frames = b"\0\0\x02\x01\x01\0\0\0\x01\x82\x86\0\0\x01\x09\x04\0\0\0\x01\x84";
        assert_eq!(Some(frames.len() - 1), within_after_hello(frames).iter().position(|within| !within));
    }

    /// Of data, only the frame's head has to be there; so a frame without a payload is whole with it.
    #[test]
    fn data_may_take_its_time() {
        let frames = b"\0\0\x03\0\0\0\0\0\x01abc\0\0\0\x04\x01\0\0\0\0";
        let head = [[true; 8].as_slice(), &[false]].concat();
        assert_eq!([&head, &[false; 3][..], &head].concat(), within_after_hello(frames));
    }
}
