//! Real servers that nobody marked as opaque, through two proxies: those that speak first, and those that wait.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use support::cluster::{Cluster, service};
use support::net::{SERVER, missing};
use support::programs::{PROGRAMS, Program, Running, Step};

/// Nothing that a proxy waits for takes so long.
const STALL: Duration = Duration::from_millis(500);
/// Until a proxy knows that a client is outside the mesh.
const FIRST_GREETING: Duration = Duration::from_secs(1);
const STARTS: Duration = Duration::from_secs(60);
/// Some look up the name of their client first, which takes its time where nobody answers.
const ANSWERS: Duration = Duration::from_secs(20);

/// Holds the whole conversation; the error says where it ended.
fn talk(to: SocketAddr, steps: &[Step]) -> Result<(), String> {
    let mut stream = TcpStream::connect(to).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(ANSWERS)).unwrap();
    let mut heard = Vec::new();
    for step in steps {
        match step {
            Step::Say(bytes) => stream.write_all(bytes).map_err(|e| e.to_string())?,
            Step::Close => stream.shutdown(Shutdown::Write).map_err(|e| e.to_string())?,
            Step::Hear(wanted) => hear(&mut stream, &mut heard, wanted)?,
        }
    }
    Ok(())
}

/// Reads until `wanted` was said; what came before it is done with.
fn hear(stream: &mut TcpStream, heard: &mut Vec<u8>, wanted: &[u8]) -> Result<(), String> {
    loop {
        if let Some(at) = heard.windows(wanted.len()).position(|w| w == wanted) {
            heard.drain(..at + wanted.len());
            return Ok(());
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(n @ 1..) => heard.extend_from_slice(&buffer[..n]),
            ended => {
                let (wanted, heard) = (String::from_utf8_lossy(wanted), String::from_utf8_lossy(heard));
                return Err(format!("{ended:?} instead of {wanted:?} after {heard:?}"));
            }
        }
    }
}

/// How long the conversation takes without proxies, once the server answers.
fn wait_until_it_answers(program: &Program, running: &Running, mesh: &Cluster) -> Duration {
    let started = Instant::now();
    let (to, steps) = ((SERVER[0], program.port).into(), program.talk);
    loop {
        let began = Instant::now();
        let Err(why) = mesh.net.server.run(move || talk(to, steps)) else { return began.elapsed() };
        assert!(started.elapsed() < STARTS, "{} does not start: {why}\n{}", program.name, running.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Databases, queues and mail work through the mesh as they are, by IPv4 and IPv6, and for a client without a proxy: none
/// waits for the other side, but that client for its very first greeting, which might be meant for a late peer.
#[test]
fn servers_that_people_run_need_no_marks() {
    if let Some(reason) = missing() {
        let _ = writeln!(std::io::stderr(), "skipped: {reason}");
        return;
    }
    let debian = Path::new("/usr/bin/apt-get").exists();
    let (mesh, mut first) = (Cluster::start(), [FIRST_GREETING; 2]);
    for program in &PROGRAMS {
        if !program.is_installed() {
            assert!(!debian, "{} is not installed: make proxy-tools", program.name);
            let _ = writeln!(std::io::stderr(), "skipped: {} is not installed", program.name);
            continue;
        }
        let running = Running::start(program, &mesh.net.server);
        let direct = wait_until_it_answers(program, &running, &mesh);
        let ([v4, v6], steps) = (service(program.port), program.talk);
        let [out4, out6] = SERVER.map(|ip| (ip, program.port).into());
        let (client, node) = (&mesh.net.client, &mesh.net.node);
        for (from, to, outside) in
            [(client, v4, None), (client, v6, None), (node, out4, Some(0)), (node, out6, Some(1))]
        {
            let started = Instant::now();
            let talked = from.run(move || talk(to, steps));
            let took = started.elapsed();
            assert_eq!(Ok(()), talked, "{} at {to}\n{}", program.name, mesh.client.log());
            let late = outside.filter(|_| took > direct + STALL);
            let greeting = late.map_or(Duration::ZERO, |family: usize| std::mem::take(&mut first[family]));
            assert!(
                took < direct + STALL + greeting,
                "{} at {to}: {took:?}, {direct:?} without",
                program.name
            );
        }
    }
    assert!(mesh.client.metric(&["weft_tcp_opened_total", "tls=\"true\"", "outbound"]) > 0.0);
}
