//! Which rules a request falls under: a tree of path segments, with the rules at the places where their paths end.

use std::collections::HashMap;

use weft_api::discovery as api;
use weft_api::discovery::call_match::Path;

use super::path::{is_one, plain};
use super::rules::Rules;

/// Longest path of a rule; it bounds the tree's depth.
const MAX_PATH: usize = 2048;

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    Request {
        method: &'a str,
        /// As it came, without query.
        path: &'a str,
    },
    /// A connection that is not HTTP. On a port that is not opaque nobody can tell what it carries.
    Bytes { opaque: bool },
}

/// Rules by the calls that they name.
///
/// Rules that deny or limit are `guard`s: they must not be got around by a path or by bytes that the application may
/// read otherwise than this proxy, so they have these as well. Rules that allow never do.
#[derive(Default)]
pub struct Calls {
    /// Rules that name no calls.
    all: Rules,
    /// Guards that name calls, for bytes of which nobody knows what they are.
    bytes: Rules,
    /// Calls without a path; the rules of `all` too.
    pathless: Leaf,
    root: Node,
    /// Guards' calls with a path, for paths that could be read in two ways.
    guarded: Leaf,
}

/// Where paths end: rules, by method. A guard's is compared without regard to case, as some applications do.
#[derive(Default)]
struct Leaf(Vec<(Method, Rules)>);

#[derive(PartialEq, Eq)]
struct Method {
    /// Empty: any.
    name: Box<str>,
    guard: bool,
}

impl Method {
    fn fits(&self, method: &str) -> bool {
        let Self { name, guard } = self;
        name.is_empty() || **name == *method || *guard && name.eq_ignore_ascii_case(method)
    }
}

#[derive(Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    /// Any one segment.
    any: Option<Box<Node>>,
    exact: Leaf,
    /// With a slash behind it.
    slashed: Leaf,
    prefix: Leaf,
}

impl Calls {
    /// Adds the rule with the highest number so far. False: not all calls make sense; a guard's that does not is any
    /// request of its method.
    pub fn add(&mut self, rule: u32, calls: &[api::CallMatch], guard: bool) -> bool {
        if calls.is_empty() {
            self.all.add(rule);
            self.pathless.add(rule, "", guard);
        } else if guard {
            self.bytes.add(rule);
        }
        // All of them, and not only up to the first that does not.
        calls.iter().filter(|call| !self.add_call(rule, call, guard)).count() == 0
    }

    fn add_call(&mut self, rule: u32, call: &api::CallMatch, guard: bool) -> bool {
        let Some(path) = &call.path else {
            self.pathless.add(rule, &call.method, guard);
            return true;
        };
        if guard {
            self.guarded.add(rule, &call.method, guard);
        }
        match self.root.insert(path) {
            Some((node, slash)) => {
                node.add(rule, &call.method, path, slash, guard);
                true
            }
            None => {
                if guard {
                    self.pathless.add(rule, &call.method, guard);
                }
                false
            }
        }
    }

    /// The sets of rules that it falls under.
    pub fn sets<'a>(&'a self, call: Call<'_>) -> Vec<&'a Rules> {
        let mut sets = Vec::with_capacity(4);
        let (method, path) = match call {
            Call::Request { method, path } => (method, path),
            Call::Bytes { opaque: true } => return vec![&self.all],
            Call::Bytes { opaque: false } => return vec![&self.all, &self.bytes],
        };
        self.pathless.sets(method, &mut sets);
        match plain(path) {
            Some(path) => {
                let (segments, slash) = segments(&path);
                self.root.sets(segments, slash, method, &mut sets);
            }
            None => self.guarded.sets(method, &mut sets),
        }
        sets
    }
}

/// A plain path's segments, joined, and whether a slash ends it.
fn segments(path: &str) -> (&str, bool) {
    let path = path.strip_prefix('/').unwrap_or(path);
    match path.strip_suffix('/') {
        Some(rest) => (rest, true),
        None => (path, path.is_empty()),
    }
}

impl Node {
    /// The node at which a rule's path ends, and whether a slash does; none for a path that no request can have.
    fn insert(&mut self, path: &Path) -> Option<(&mut Self, bool)> {
        let (Path::Exact(raw) | Path::Prefix(raw) | Path::Template(raw)) = path;
        if raw.len() > MAX_PATH || !is_one(raw) {
            return None;
        }
        let (joined, slash) = segments(raw);
        let mut node = self;
        for segment in joined.split('/').filter(|segment| !segment.is_empty()) {
            node = match path {
                Path::Template(_) if segment == "{}" => node.any.get_or_insert_default(),
                _ => node.children.entry(segment.into()).or_default(),
            };
        }
        Some((node, slash))
    }

    fn add(&mut self, rule: u32, method: &str, path: &Path, slash: bool, guard: bool) {
        if matches!(path, Path::Prefix(_)) {
            return self.prefix.add(rule, method, guard);
        }
        // To most applications both are one.
        if guard || !slash {
            self.exact.add(rule, method, guard);
        }
        if guard || slash {
            self.slashed.add(rule, method, guard);
        }
    }

    fn sets<'a>(&'a self, rest: &str, slash: bool, method: &str, sets: &mut Vec<&'a Rules>) {
        self.prefix.sets(method, sets);
        if rest.is_empty() {
            return if slash { &self.slashed } else { &self.exact }.sets(method, sets);
        }
        let (segment, rest) = rest.split_once('/').unwrap_or((rest, ""));
        for node in self.children.get(segment).into_iter().chain(self.any.as_deref()) {
            node.sets(rest, slash, method, sets);
        }
    }
}

impl Leaf {
    fn add(&mut self, rule: u32, method: &str, guard: bool) {
        let method = Method { name: method.into(), guard };
        if let Some((_, rules)) = self.0.iter_mut().find(|(known, _)| *known == method) {
            return rules.add(rule);
        }
        let mut rules = Rules::default();
        rules.add(rule);
        self.0.push((method, rules));
    }

    fn sets<'a>(&'a self, method: &str, sets: &mut Vec<&'a Rules>) {
        sets.extend(self.0.iter().filter(|(wanted, _)| wanted.fits(method)).map(|(_, rules)| rules));
    }
}
