//! Which route a request takes: the first that matches. Exact paths and prefixes are looked up, so that many of them
//! cost what one does; only expressions are tried one after the other.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::{HOST, HeaderName};
use http::request::Parts;

use crate::discovery::{PathMatch, Pattern, Route, RouteMatch, ValueMatch};

pub struct Table {
    routes: Arc<[Route]>,
    /// All matches of all routes, in order of precedence.
    entries: Vec<Entry>,
    /// Numbers of entries, ascending.
    exact: HashMap<String, Vec<u32>>,
    prefixes: HashMap<String, Vec<u32>>,
    /// Of prefixes, ascending.
    lengths: Vec<usize>,
    /// The entries that any path may match.
    others: Vec<u32>,
}

struct Entry {
    route: usize,
    /// Which of the route's matches; none: it has none, and takes everything.
    number: Option<usize>,
}

/// What a request matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Number of the route.
    pub route: usize,
    /// Length of the path's prefix that matched.
    pub prefix: usize,
}

impl Table {
    pub fn new(routes: Arc<[Route]>) -> Self {
        let entries = routes.iter().enumerate().flat_map(|(route, rules)| {
            let numbers = (0..rules.matches.len()).map(Some);
            numbers.chain(rules.matches.is_empty().then_some(None)).map(move |number| Entry { route, number })
        });
        let mut table = Self {
            entries: entries.collect(),
            routes: routes.clone(),
            exact: HashMap::new(),
            prefixes: HashMap::new(),
            lengths: Vec::new(),
            others: Vec::new(),
        };
        for n in 0..table.entries.len() {
            table.index(n as u32);
        }
        table.lengths = table.prefixes.keys().map(String::len).collect();
        table.lengths.sort_unstable();
        table.lengths.dedup();
        table
    }

    fn index(&mut self, n: u32) {
        let path = self.rule(n).map_or(PathMatch::Any, |rule| rule.path.clone());
        match path {
            PathMatch::Exact(path) => self.exact.entry(path).or_default().push(n),
            PathMatch::Prefix(prefix) => self.prefixes.entry(prefix).or_default().push(n),
            PathMatch::Any | PathMatch::Regex(_) => self.others.push(n),
        }
    }

    pub fn find(&self, head: &Parts) -> Option<Found> {
        if self.entries.is_empty() {
            return None;
        }
        let path = head.uri.path();
        let lists = self.exact.get(path).into_iter().chain(self.prefixes_of(path)).chain([&self.others]);
        let first = lists.fold(None, |best: Option<u32>, list| {
            let earlier = list.iter().copied().take_while(|n| best.is_none_or(|best| *n < best));
            { earlier }.find(|n| self.fits(*n, head)).or(best)
        })?;
        let prefix = match self.rule(first) {
            Some(RouteMatch { path: PathMatch::Prefix(prefix), .. }) => prefix.len(),
            _ => 0,
        };
        Some(Found { route: self.entries[first as usize].route, prefix })
    }

    fn prefixes_of<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Vec<u32>> {
        let whole = |length: &&usize| path.as_bytes().get(**length).is_none_or(|next| *next == b'/');
        let lengths = self.lengths.iter().take_while(|length| **length <= path.len()).filter(whole);
        lengths.filter_map(|length| self.prefixes.get(path.get(..*length)?))
    }

    fn rule(&self, n: u32) -> Option<&RouteMatch> {
        let entry = &self.entries[n as usize];
        entry.number.map(|number| &self.routes[entry.route].matches[number])
    }

    /// Whether an entry matches that was found by its path.
    fn fits(&self, n: u32, head: &Parts) -> bool {
        self.rule(n).is_none_or(|rule| {
            let path = match &rule.path {
                PathMatch::Regex(regex) => regex.is_match(head.uri.path().as_bytes()),
                _ => true,
            };
            path && rule.method.as_ref().is_none_or(|method| *method == head.method)
                && rule.headers.iter().all(|header| header_fits(header, head))
                && (rule.queries.is_empty()
                    || queries_fit(&rule.queries, head.uri.query().unwrap_or_default()))
        })
    }
}

fn header_fits(rule: &ValueMatch<HeaderName>, head: &Parts) -> bool {
    let mut values = head.headers.get_all(&rule.name).iter();
    // In HTTP/2 the host is part of the target.
    let host = || head.uri.authority().filter(|_| rule.name == HOST && !head.headers.contains_key(HOST));
    values.any(|value| rule.value.fits(value.as_bytes()))
        || host().is_some_and(|host| rule.value.fits(host.as_str().as_bytes()))
}

/// Names and values are compared as they are meant, without percent-encoding.
fn queries_fit(rules: &[ValueMatch<String>], query: &str) -> bool {
    let first =
        |name: &str| form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name).map(|(_, v)| v);
    let fits = |value: &Pattern, found: &str| value.fits(found.as_bytes());
    rules.iter().all(|rule| first(&rule.name).is_some_and(|found| fits(&rule.value, &found)))
}

#[cfg(test)]
mod tests;
