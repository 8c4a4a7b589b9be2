//! A policy, compiled: the first of its rules that a call falls under decides, however many there are.
//!
//! Clients and calls are looked up each for itself, and give a few sets of rules. The lowest rule that is in a set of
//! both is the first.

use std::sync::Arc;

use weft_api::discovery as api;

use super::calls::{Call, Calls};
use super::clients::{Caller, Clients};
use super::rules::{Common, Rules};

/// Clients and calls of numbered rules.
#[derive(Default)]
pub struct Matcher {
    clients: Clients,
    calls: Calls,
}

impl Matcher {
    /// Adds the rule with the highest number so far; `guard`: what does not make sense of it matches rather than not.
    /// False: something did not.
    pub fn add(&mut self, rule: u32, clients: &[api::Client], calls: &[api::CallMatch], guard: bool) -> bool {
        let clients = self.clients.add(rule, clients, guard);
        self.calls.add(rule, calls, guard) && clients
    }

    pub fn first(&self, caller: &Caller<'_>, call: Call<'_>) -> Option<u32> {
        let (clients, calls) = (self.clients.sets(caller), self.calls.sets(call));
        common(&clients, &calls).filter_map(|mut rules| rules.next()).min()
    }

    /// All rules that match, in order.
    pub fn all(&self, caller: &Caller<'_>, call: Call<'_>) -> Vec<u32> {
        let (clients, calls) = (self.clients.sets(caller), self.calls.sets(call));
        let mut rules: Vec<_> = common(&clients, &calls).flatten().collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}

/// What each set of the one has in common with each of the other.
fn common<'a>(clients: &'a [&Rules], calls: &'a [&Rules]) -> impl Iterator<Item = Common<'a>> {
    clients.iter().flat_map(move |client| calls.iter().map(move |call| client.common(call)))
}

/// What is said of a call, and by which rule or default, as errors, metrics and tap name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    pub allowed: bool,
    pub by: &'a Arc<str>,
    /// No rule matched.
    pub default: bool,
}

pub struct Table {
    matcher: Matcher,
    /// Name, and whether it denies.
    rules: Vec<(Arc<str>, bool)>,
    default: api::Default,
    default_name: Arc<str>,
}

impl Table {
    /// Compiles a policy. What this proxy does not understand of it never opens anything.
    pub fn new(policy: &api::Policy) -> Self {
        let mut matcher = Matcher::default();
        for (number, rule) in (0..).zip(&policy.rules) {
            if !matcher.add(number, &rule.clients, &rule.calls, rule.deny) {
                tracing::warn!(
                    rule = rule.name,
                    deny = rule.deny,
                    "a rule that this proxy understands in part"
                );
            }
        }
        Self {
            matcher,
            rules: policy.rules.iter().map(|rule| (rule.name.as_str().into(), rule.deny)).collect(),
            default: policy.default(),
            default_name: policy.default_name.as_str().into(),
        }
    }

    pub fn decide(&self, caller: &Caller<'_>, call: Call<'_>) -> Verdict<'_> {
        match self.matcher.first(caller, call).and_then(|rule| self.rules.get(rule as usize)) {
            Some((by, deny)) => Verdict { allowed: !deny, by, default: false },
            None => Verdict { allowed: self.default_allows(caller), by: &self.default_name, default: true },
        }
    }

    fn default_allows(&self, caller: &Caller<'_>) -> bool {
        match self.default {
            api::Default::Anyone => true,
            api::Default::Authenticated => caller.identity.is_some(),
            // A newer control plane may know others.
            api::Default::Deny | api::Default::Unspecified => false,
        }
    }
}
