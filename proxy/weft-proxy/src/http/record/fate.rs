//! Where an exchange is counted, and as what.

use crate::error::Code;
use crate::tap::Outcome;

pub const SUCCESS: &str = "success";

/// Who counts an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// This proxy, by its outcome.
    Here,
    /// A policy denied it: the application has not seen it, so its numbers do not show it.
    Denied,
    /// A peer proxy is told that its request was not delivered: it sends it elsewhere, and counts it.
    Elsewhere,
    /// It is written down already.
    Over,
}

impl Fate {
    /// When the proxy itself answers with `code`.
    pub fn failed(self, code: Code, from_peer: bool) -> Self {
        match code {
            _ if self == Fate::Over => self,
            Code::Denied | Code::Limited | Code::Egress => Fate::Denied,
            _ if from_peer && code.is_undelivered() => Fate::Elsewhere,
            _ => Fate::Here,
        }
    }

    /// The `result` label; none: it is not counted here.
    pub fn result(self, outcome: Outcome) -> Option<&'static str> {
        match (self, outcome) {
            (Fate::Elsewhere | Fate::Over, _) => None,
            (Fate::Denied, _) => Some("denied"),
            (Fate::Here, Outcome::Success) => Some(SUCCESS),
            (Fate::Here, Outcome::Failure) => Some("failure"),
            (Fate::Here, Outcome::Cancelled) => Some("cancelled"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a policy denies is counted as denied; what did not arrive is counted by the peer proxy that sends it elsewhere, if
    /// one has sent it; all else by its outcome.
    #[test]
    fn errors_have_a_fate() {
        let fates = |from_peer| {
            let fate = |code: &Code| Fate::Here.failed(*code, from_peer);
            let of = |is| Code::ALL.into_iter().filter(|code| fate(code) == is).collect::<Vec<_>>();
            [of(Fate::Denied), of(Fate::Elsewhere)]
        };
        let denied = vec![Code::Denied, Code::Limited, Code::Egress];
        let undelivered = Code::ALL.into_iter().filter(|code| code.is_undelivered()).collect();
        assert_eq!([denied.clone(), vec![]], fates(false));
        assert_eq!([denied, undelivered], fates(true));
    }

    /// An exchange is counted once: what is over stays so, whatever fails afterwards.
    #[test]
    fn over_is_over() {
        for code in Code::ALL {
            assert_eq!(Fate::Over, Fate::Over.failed(code, true));
        }
        assert_eq!(None, Fate::Over.result(Outcome::Success));
    }
}
