"""Causes that `weft why` names. Pure."""

from weft.explanations.model import Explanation

CAUSES = {
    "unschedulable": Explanation(
        "no node takes the pods",
        "The scheduler finds no node for them: too little CPU or memory, taints, affinity.",
        "Free resources, add a node, or lower what the pods ask for: `kubectl describe pod`.",
    ),
    "image-pull": Explanation(
        "an image cannot be pulled",
        "The name is wrong, or the registry does not give it.",
        "Correct the image's name or its pull secret: `kubectl describe pod`.",
    ),
    "container-config": Explanation(
        "a container cannot be created",
        "Its specification names something that does not exist, such as a ConfigMap or Secret.",
        "Make what it names: `kubectl describe pod`.",
    ),
    "oom-killed": Explanation(
        "a container is out of memory",
        "The kernel killed it at its memory limit.",
        "Raise the limit, or make the application need less.",
    ),
    "crash-loop": Explanation(
        "a container crashes again and again",
        "It ends soon after each start, so Kubernetes waits longer and longer in between.",
        "Read why: `kubectl logs POD -c CONTAINER --previous`.",
    ),
    "proxy-not-ready": Explanation(
        "the proxy is not ready",
        "The application starts after its proxy, which waits for a certificate or the control plane.",
        "See `kubectl logs POD -c weft-proxy`, then `weft check`.",
    ),
    "readiness": Explanation(
        "a container runs and is not ready",
        "Its readiness probe does not succeed, so nobody is sent to it.",
        "See what its probe asks: `kubectl describe pod`.",
    ),
    "scaled-to-zero": Explanation(
        "a workload is scaled to 0",
        "It shall have no pods, and is called.",
        "Give it some: `kubectl scale --replicas=1`.",
    ),
    "pods-refused": Explanation(
        "Kubernetes refuses the pods",
        "A quota, Pod Security or a webhook keeps them from being made.",
        "See the events of the workload: `kubectl describe`.",
    ),
    "service-without-selector": Explanation(
        "a Service has no selector",
        "Nobody gives it endpoints either, so calls to it lead nowhere.",
        "Give it the pods' labels: `kubectl edit svc NAME`.",
    ),
    "selector-matches-no-pod": Explanation(
        "a Service's selector matches no pod",
        "No pod of its namespace has the labels that it selects.",
        "Compare them: `kubectl get pods --show-labels`.",
    ),
    "wrong-target-port": Explanation(
        "a Service's targetPort is wrong",
        "It leads to a port that no container declares.",
        "Set targetPort to one that they declare: `kubectl edit svc NAME`.",
    ),
    "connection-refused": Explanation(
        "nothing listens there",
        "Connections to the endpoint are refused.",
        "See that the application listens on that port, on all addresses (not 127.0.0.1 alone).",
    ),
    "network-policy": Explanation(
        "a NetworkPolicy keeps calls away",
        "Connections get no answer, and a NetworkPolicy limits what may come in to the server.",
        "Allow the callers, and port 4143: `kubectl edit networkpolicy NAME`.",
    ),
    "packets-dropped": Explanation(
        "packets are dropped on the way",
        "Connections get no answer, and no NetworkPolicy that can be seen is why.",
        "Look at NetworkPolicies, the node's firewall and the network plugin.",
    ),
    "no-ready-endpoints": Explanation(
        "a Service has no endpoint that is ready",
        "Often a consequence of what is named before it.",
        "Ask about the Service itself: `weft why svc/NAME`.",
    ),
    "dns": Explanation(
        "DNS did not resolve a name",
        "The Service exists, and a log says that its name cannot be resolved.",
        "Look at the cluster's DNS (`kubectl -n kube-system get pods`) and the pod's dnsPolicy.",
    ),
    "dns-name": Explanation(
        "a name that DNS does not know",
        "The application calls a name that belongs to no Service.",
        "Correct it in its configuration.",
    ),
    "protocol": Explanation(
        "a server does not speak its protocol",
        "What answers is not the HTTP that the port declares.",
        "Declare a port that does not speak HTTP as opaque: annotation config.weft.dev/opaque-ports.",
    ),
    "timeout-too-small": Explanation(
        "a route allows too little time",
        "The server is quick, and yet the time is over before its answer.",
        "Raise timeout of the route: `kubectl edit serviceprofile NAME`.",
    ),
    "slow-server": Explanation(
        "a server answers slowly",
        "Half of the calls take long, or their time is over first.",
        "Look for what it waits for: its own calls, CPU limits.",
    ),
    "one-pod": Explanation(
        "one pod fails",
        "The other pods of the workload do not.",
        "Compare its log and node with the others': `kubectl describe pod`.",
    ),
    "one-route": Explanation(
        "one route fails",
        "One method and path fails, and nothing else does.",
        "It is the application's own answer: `kubectl logs`.",
    ),
    "rollout": Explanation(
        "a new version fails",
        "The workload has had a new version for less than a quarter of an hour.",
        "Go back if it is the cause: `kubectl rollout undo`.",
    ),
    "application-error": Explanation(
        "the application itself answers so", "Nothing around it explains the failures.", "Read its log: `kubectl logs`."
    ),
    "connection-lost": Explanation(
        "a server closes connections",
        "It does so before it has answered.",
        "Look for restarts of its pods, and for keep-alive times shorter than its clients'.",
    ),
    "control-plane-destination": Explanation(
        "destination is not ready",
        "Proxies go on with what they know; new addresses lead nowhere.",
        "See `weft check` and `kubectl -n weft describe deploy destination`.",
    ),
    "control-plane-identity": Explanation(
        "identity is not ready",
        "Proxies go on with their certificates; new pods get none.",
        "See `weft check` and `kubectl -n weft describe deploy identity`.",
    ),
    "control-plane-injector": Explanation(
        "the injector is not ready",
        "Pods that are marked for the mesh may begin without a proxy, or are not made.",
        "See `weft check` and `kubectl -n weft describe deploy injector`.",
    ),
    "destination-unreachable": Explanation(
        "the control plane does not answer the callers' proxies",
        "Destination is ready, and yet they ask in vain.",
        "Look for a NetworkPolicy that keeps pods from destination.weft:8086; `weft diagnostics proxies`.",
    ),
    "certificate": Explanation(
        "a proxy's certificate has ended",
        "Without a valid one it can neither call nor be called by mutual TLS.",
        "Run `weft check --proxy`, and see `kubectl logs POD -c weft-proxy`.",
    ),
    "identity": Explanation(
        "mutual TLS fails",
        "The other side is not whom the control plane said.",
        "See in `weft check` whether both sides trust the same anchor.",
    ),
    "denied": Explanation(
        "a policy denies the call",
        "An AccessPolicy, or the default of the namespace or cluster, does not let this client make it.",
        "See who decides: `weft authz can`.",
    ),
    "rate-limited": Explanation(
        "a rate limit is spent",
        "The client calls more often than an AccessPolicy allows.",
        "See the limit: `weft authz list`.",
    ),
    "policy-unknown": Explanation(
        "who may call is not known yet",
        "Nobody has told the server's proxy, so nobody may.",
        "Look if destination is ready: `weft check`.",
    ),
    "egress-denied": Explanation(
        "a policy denies leaving the mesh",
        "The application calls outside, and no AccessPolicy of its namespace allows it.",
        "Add it to spec.egress.allow of an AccessPolicy.",
    ),
    "injection-skipped": Explanation(
        "the injector skipped a workload",
        "It is marked for the mesh and has no proxy; an Event says why.",
        "Change what the event names, then restart the workload.",
    ),
    "not-injected": Explanation(
        "a marked workload has no proxy", "Its pods are older than the mark.", "Restart it: `kubectl rollout restart`."
    ),
    "peer-not-meshed": Explanation(
        "the server is not in the mesh",
        "Calls to it are in plain text, and its side cannot be seen.",
        "Mesh it: `kubectl get deploy/NAME -o yaml | weft inject - | kubectl apply -f -`.",
    ),
    "breaker-open": Explanation(
        "endpoints are left out",
        "They failed too often in a row. A symptom, unless nothing else explains.",
        "They are tried again by themselves; look for what made them fail.",
    ),
    "overloaded": Explanation(
        "too many requests wait",
        "More than a proxy holds: the server is too slow or too few.",
        "Add replicas of the server, or lower the clients' concurrency.",
    ),
}
"""By the id in `weft why -o json`."""
