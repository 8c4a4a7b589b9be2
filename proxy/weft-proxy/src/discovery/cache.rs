//! What is known of each target: kept while the control plane is away, forgotten when nobody used it for a while.
//!
//! Pure but for the watch channels: no clock, no network. Readers on any thread hold receivers.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use weft_api::discovery as api;

use super::endpoints;
use super::model::{EndpointSet, Inbound, Outbound, Protocol, ServicePort};
use super::translate::{self, Target};

/// One target: its value, whether the control plane has ever spoken of it, and since when nobody reads it.
pub struct Slot<T> {
    value: watch::Sender<Arc<T>>,
    known: watch::Sender<bool>,
    version: String,
    idle_since: Option<Instant>,
}

/// What a reader gets: the value, and the word that it means something.
#[derive(Clone)]
pub struct Reader<T> {
    pub value: watch::Receiver<Arc<T>>,
    pub known: watch::Receiver<bool>,
}

impl<T> Slot<T> {
    fn new(initial: T) -> Self {
        Self {
            value: watch::Sender::new(Arc::new(initial)),
            known: watch::Sender::new(false),
            version: String::new(),
            idle_since: None,
        }
    }

    fn reader(&mut self) -> Reader<T> {
        self.idle_since = None;
        Reader { value: self.value.subscribe(), known: self.known.subscribe() }
    }

    fn set(&mut self, value: T, version: String) {
        self.value.send_replace(Arc::new(value));
        self.version = version;
        self.known.send_replace(true);
    }

    fn in_use(&self) -> bool {
        self.value.receiver_count() > 0
    }

    /// Whether nobody has read it for `keep`; call it regularly.
    fn expired(&mut self, now: Instant, keep: Duration) -> bool {
        if self.in_use() {
            self.idle_since = None;
            return false;
        }
        now.duration_since(*self.idle_since.get_or_insert(now)) >= keep
    }
}

/// The targets of one kind.
struct Table<K, T>(HashMap<K, Slot<T>>);

impl<K: Clone + Eq + Hash, T: Clone> Table<K, T> {
    fn put(&mut self, key: K, value: T) {
        let slot = self.0.entry(key).or_insert_with(|| Slot::new(value.clone()));
        slot.set(value, String::new());
    }

    /// The reader, and whether the target is new.
    fn read(&mut self, key: &K, initial: impl FnOnce() -> T) -> (Reader<T>, bool) {
        if let Some(slot) = self.0.get_mut(key) {
            return (slot.reader(), false);
        }
        (self.0.entry(key.clone()).or_insert_with(|| Slot::new(initial())).reader(), true)
    }

    fn remove_expired(&mut self, now: Instant, keep: Duration) -> Vec<K> {
        let expired: Vec<K> = self
            .0
            .iter_mut()
            .filter_map(|(key, slot)| slot.expired(now, keep).then(|| key.clone()))
            .collect();
        for key in &expired {
            self.0.remove(key);
        }
        expired
    }

    fn held(&self) -> impl Iterator<Item = (&K, &str)> {
        self.0.iter().map(|(key, slot)| (key, slot.version.as_str()))
    }
}

pub struct Cache {
    outbound: Table<SocketAddr, Outbound>,
    endpoints: Table<ServicePort, EndpointSet>,
    inbound: Table<u16, Inbound>,
    /// Own ports that stay for ever.
    pinned: HashSet<u16>,
}

/// What came of an update.
#[derive(Debug, PartialEq, Eq)]
pub enum Applied {
    Done,
    /// Nobody asked for it (any more).
    Unasked,
    /// It says nothing that this proxy understands; what is known stays.
    NotUnderstood,
    /// A delta to something else than what is held: ask for the whole.
    Again(Target),
}

impl Cache {
    pub fn new() -> Self {
        Self {
            outbound: Table(HashMap::new()),
            endpoints: Table(HashMap::new()),
            inbound: Table(HashMap::new()),
            pinned: HashSet::new(),
        }
    }

    pub fn outbound(&mut self, address: SocketAddr) -> (Reader<Outbound>, bool) {
        self.outbound.read(&address, Outbound::not_in_mesh)
    }

    pub fn endpoints(&mut self, service: &ServicePort) -> (Reader<EndpointSet>, bool) {
        self.endpoints.read(service, EndpointSet::default)
    }

    pub fn inbound(&mut self, port: u16) -> (Reader<Inbound>, bool) {
        self.inbound.read(&port, Inbound::default)
    }

    pub fn put_outbound(&mut self, address: SocketAddr, outbound: Outbound) {
        self.outbound.put(address, outbound);
    }

    pub fn put_endpoints(&mut self, service: &ServicePort, set: EndpointSet) {
        self.endpoints.put(service.clone(), set);
    }

    pub fn put_inbound(&mut self, port: u16, inbound: Inbound) {
        self.inbound.put(port, inbound);
    }

    pub fn len(&self) -> usize {
        self.outbound.0.len() + self.endpoints.0.len() + self.inbound.0.len()
    }

    /// An own port that is never forgotten.
    pub fn pin(&mut self, port: u16) {
        self.pinned.insert(port);
    }

    /// Whether `port` is one of at most `max` own ports that are held, or there is room for it now; and what was
    /// forgotten for it: ports that nobody uses and that are not declared to speak something, a scan's.
    pub fn make_room(&mut self, port: u16, max: usize, forget: bool) -> (bool, Vec<Target>) {
        let ports = &mut self.inbound.0;
        let mut forgotten = Vec::new();
        if forget && ports.len() >= max && !ports.contains_key(&port) {
            ports.retain(|port, slot| {
                let declared = slot.value.borrow().protocol != Protocol::Detect;
                let kept = slot.in_use() || declared || self.pinned.contains(port);
                if !kept {
                    forgotten.push(Target::Inbound(*port));
                }
                kept
            });
        }
        (ports.len() < max || ports.contains_key(&port), forgotten)
    }

    /// Every target with the version that is held, "" for none: what a new stream asks for.
    pub fn held(&self) -> Vec<(Target, String)> {
        let outbound = self.outbound.held().map(|(key, version)| (Target::Outbound(*key), version));
        let endpoints = self.endpoints.held().map(|(key, version)| (Target::Endpoints(key.clone()), version));
        let inbound = self.inbound.held().map(|(key, version)| (Target::Inbound(*key), version));
        outbound
            .chain(endpoints)
            .chain(inbound)
            .map(|(target, version)| (target, version.to_owned()))
            .collect()
    }

    /// Forgets what nobody has read for `keep`, and returns it. The own ports stay: they are few.
    pub fn sweep(&mut self, now: Instant, keep: Duration) -> Vec<Target> {
        let outbound = self.outbound.remove_expired(now, keep).into_iter().map(Target::Outbound);
        let endpoints = self.endpoints.remove_expired(now, keep).into_iter().map(Target::Endpoints);
        outbound.chain(endpoints).collect()
    }

    /// What was said of an own port, compiled already.
    pub fn apply_inbound(
        &mut self,
        target: Option<api::Target>,
        inbound: Inbound,
        version: String,
    ) -> Applied {
        match target.and_then(Target::decode) {
            Some(Target::Inbound(port)) => store(self.inbound.0.get_mut(&port), Some(inbound), version),
            _ => Applied::NotUnderstood,
        }
    }

    pub fn apply(&mut self, update: api::Update) -> Applied {
        use api::update::State;
        let (Some(target), Some(state)) = (update.target.and_then(Target::decode), update.state) else {
            return Applied::NotUnderstood;
        };
        match (&target, state) {
            (Target::Outbound(address), State::Outbound(message)) => {
                let Some(slot) = self.outbound.0.get_mut(address) else { return Applied::Unasked };
                let outbound = translate::outbound(message).map(|new| new.after(&slot.value.borrow()));
                store(Some(slot), outbound, update.version)
            }
            (Target::Endpoints(service), State::Endpoints(message)) => {
                let set = endpoints::whole(service, message, &update.version);
                store(self.endpoints.0.get_mut(service), Some(set), update.version)
            }
            (Target::Endpoints(service), State::EndpointsDelta(delta)) => {
                let Some(slot) = self.endpoints.0.get_mut(service) else { return Applied::Unasked };
                if slot.version != delta.base_version {
                    slot.version.clear();
                    return Applied::Again(target);
                }
                let held = slot.value.borrow().clone();
                let set = endpoints::changed(service, &held, delta, &update.version);
                store(Some(slot), Some(set), update.version)
            }
            _ => Applied::NotUnderstood,
        }
    }
}

fn store<T>(slot: Option<&mut Slot<T>>, value: Option<T>, version: String) -> Applied {
    match (slot, value) {
        (Some(slot), Some(value)) => {
            slot.set(value, version);
            Applied::Done
        }
        (None, _) => Applied::Unasked,
        (_, None) => Applied::NotUnderstood,
    }
}
