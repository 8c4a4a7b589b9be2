//! What a control plane may send: any message is taken or refused, and targets survive the way there and back.

use std::time::Instant;

use prost::Message;
use weft_api::discovery::{Update, update::State};
use weft_proxy::discovery::{Destination, Discovery, Outbound, ServicePort};
use weft_proxy::policy::{Call, Caller};

/// Targets that somebody asks for: updates for others are dropped unread.
const ADDRESS: &str = "10.0.0.1:80";

pub fn check(bytes: &[u8]) {
    let Ok(update) = Update::decode(bytes) else { return };
    let discovery = Discovery::new(vec![]);
    let (address, service) = (ADDRESS.parse().unwrap(), ServicePort::new("shop", "web", 80));
    discovery.put_outbound(address, Outbound::not_in_mesh());
    discovery.put_endpoints(&service, vec![]);
    discovery.pin(&[80]);
    discovery.hear(update.clone());
    // The same once more, for each target: what it says is read, whomever it was meant for.
    for target in targets(&service) {
        discovery.hear(Update { target: Some(target), ..update.clone() });
    }
    if let Some(State::Inbound(_)) = update.state
        && let Some(access) = &futures(discovery.inbound(80)).access
    {
        let id = Some("spiffe://cluster.local/ns/shop/sa/web");
        let caller = Caller::new(id, "cluster.local", [10, 0, 0, 2].into());
        let call = Call::Request { method: "GET", path: "/a/%62" };
        let _ = (access.decide(&caller, call), access.limit(&caller, call, Instant::now()));
    }
    if let Some(State::Outbound(_)) = update.state
        && let Destination::Service(service) = &futures(discovery.outbound(address)).destination
    {
        let request = http::Request::get("/a/b?c").header("d", "e").body(()).unwrap();
        service.table.find(&request.into_parts().0);
    }
}

fn targets(service: &ServicePort) -> Vec<weft_api::discovery::Target> {
    use weft_api::discovery::{ServicePort as Port, SocketAddress, Target, target::Kind};
    let port = Port { namespace: service.namespace.to_string(), name: service.name.to_string(), port: 80 };
    let address = SocketAddress { ip: vec![10, 0, 0, 1], port: 80 };
    let kinds = [Kind::Outbound(address), Kind::Endpoints(port), Kind::Inbound(80)];
    kinds.into_iter().map(|kind| Target { kind: Some(kind) }).collect()
}

/// The answer that is known already.
fn futures<T, E: std::fmt::Debug>(
    answer: impl Future<Output = Result<tokio::sync::watch::Receiver<std::sync::Arc<T>>, E>>,
) -> std::sync::Arc<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(answer).unwrap().borrow().clone()
}
