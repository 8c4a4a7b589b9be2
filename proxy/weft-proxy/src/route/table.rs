//! Which route a request takes: the first that matches. Exact paths and prefixes are looked up, and expressions tried
//! all at once, so that many of them cost hardly more than one does.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::{HOST, HeaderName};
use http::request::Parts;
use regex::bytes::{Regex, RegexSet, RegexSetBuilder};

use crate::discovery::{PathMatch, Pattern, Route, RouteMatch, ValueMatch};

/// Compiled size that all expressions together may have; beyond, they are tried one after the other.
const SET_LIMIT: usize = 2 * 1024 * 1024;

#[derive(Debug)]
pub struct Table {
    routes: Arc<[Route]>,
    /// All matches of all routes, in order of precedence.
    entries: Vec<Entry>,
    /// Numbers of entries, ascending.
    exact: HashMap<String, Vec<u32>>,
    prefixes: HashMap<String, Vec<u32>>,
    /// Of prefixes, ascending.
    lengths: Vec<usize>,
    /// For any path.
    others: Vec<u32>,
    expressions: Vec<u32>,
    /// All expressions in one, by their places in the list; none: there are none, or they are too large together.
    together: Option<RegexSet>,
}

#[derive(Debug)]
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
            expressions: Vec::new(),
            together: None,
        };
        for n in 0..table.entries.len() {
            table.index(n as u32);
        }
        table.together = together(table.expressions.iter().filter_map(|n| table.expression(*n)));
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
            PathMatch::Regex(_) => self.expressions.push(n),
            PathMatch::Any => self.others.push(n),
        }
    }

    pub fn find(&self, head: &Parts) -> Option<Found> {
        if self.entries.is_empty() {
            return None;
        }
        let path = head.uri.path();
        let lists = self.exact.get(path).into_iter().chain(self.prefixes_of(path)).chain([&self.others]);
        let known = lists.fold(None, |best, list| self.earlier(list, best, head));
        let first = match self.expressions.first() {
            Some(n) if known.is_none_or(|known| *n < known) => self.earlier(&self.fitting(path), known, head),
            _ => known,
        }?;
        let prefix = match self.rule(first) {
            Some(RouteMatch { path: PathMatch::Prefix(prefix), .. }) => prefix.len(),
            _ => 0,
        };
        Some(Found { route: self.entries.get(first as usize)?.route, prefix })
    }

    /// The first of `list` that matches, if it comes before `best`.
    fn earlier(&self, list: &[u32], best: Option<u32>, head: &Parts) -> Option<u32> {
        let mut earlier = list.iter().copied().take_while(|n| best.is_none_or(|best| *n < best));
        earlier.find(|n| self.fits(*n, head)).or(best)
    }

    /// The entries whose expressions match.
    fn fitting(&self, path: &str) -> Vec<u32> {
        let path = path.as_bytes();
        match &self.together {
            Some(set) => {
                set.matches(path).iter().filter_map(|place| self.expressions.get(place)).copied().collect()
            }
            None => {
                let fits = |n: &u32| self.expression(*n).is_some_and(|regex| regex.is_match(path));
                self.expressions.iter().copied().filter(fits).collect()
            }
        }
    }

    fn expression(&self, n: u32) -> Option<&Regex> {
        match &self.rule(n)?.path {
            PathMatch::Regex(regex) => Some(regex),
            _ => None,
        }
    }

    fn prefixes_of<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Vec<u32>> {
        let whole = |length: &&usize| path.as_bytes().get(**length).is_none_or(|next| *next == b'/');
        let lengths = self.lengths.iter().take_while(|length| **length <= path.len()).filter(whole);
        lengths.filter_map(|length| self.prefixes.get(path.get(..*length)?))
    }

    fn rule(&self, n: u32) -> Option<&RouteMatch> {
        let entry = self.entries.get(n as usize)?;
        self.routes.get(entry.route)?.matches.get(entry.number?)
    }

    /// Whether an entry matches that was found by its path.
    fn fits(&self, n: u32, head: &Parts) -> bool {
        self.rule(n).is_none_or(|rule| {
            rule.method.as_ref().is_none_or(|method| *method == head.method)
                && rule.headers.iter().all(|header| header_fits(header, head))
                && (rule.queries.is_empty()
                    || queries_fit(&rule.queries, head.uri.query().unwrap_or_default()))
        })
    }
}

fn together<'a>(expressions: impl Iterator<Item = &'a Regex>) -> Option<RegexSet> {
    let mut expressions = expressions.map(Regex::as_str).peekable();
    expressions.peek()?;
    RegexSetBuilder::new(expressions).unicode(false).size_limit(SET_LIMIT).build().ok()
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
