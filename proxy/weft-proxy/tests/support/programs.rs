//! Servers that people run, as Debian packages them, and what their clients say to them first.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::net::Namespace;

/// A server, and a conversation by which it is known.
pub struct Program {
    pub name: &'static str,
    pub port: u16,
    /// What must be installed.
    program: &'static str,
    /// A shell script that becomes the server; `$DATA` is an empty folder, `$PORT` its port.
    script: &'static str,
    pub talk: &'static [Step],
}

/// One step of a conversation.
#[derive(Clone, Copy)]
pub enum Step {
    Say(&'static [u8]),
    /// The server says this next, perhaps among other things.
    Hear(&'static [u8]),
    /// The client has nothing more to say, and listens.
    Close,
}

use Step::{Close, Hear, Say};

pub const PROGRAMS: [Program; 6] = [
    Program {
        name: "MariaDB",
        port: 13306,
        program: "/usr/sbin/mariadbd",
        // Without its tables it still greets.
        script: "mkdir $DATA/db && exec /usr/sbin/mariadbd --no-defaults --user=root --skip-grant-tables \
                 --skip-name-resolve --datadir=$DATA/db --socket=$DATA/sock --port=$PORT --bind-address=*",
        talk: &[Hear(b"mysql_native_password\0")],
    },
    Program {
        name: "PostgreSQL",
        port: 15432,
        program: "/usr/lib/postgresql/15/bin/postgres",
        script: "chown -R nobody $DATA; cd $DATA; B=/usr/lib/postgresql/15/bin; \
                 setpriv --reuid nobody --clear-groups $B/initdb -D $DATA/db -A trust -U me && \
                 exec setpriv --reuid nobody --clear-groups $B/postgres -D $DATA/db -p $PORT -h '*' -k $DATA",
        // SSLRequest, refused; then a startup message for a user who does not exist.
        talk: &[
            Say(b"\0\0\0\x08\x04\xd2\x16\x2f"),
            Hear(b"N"),
            Say(b"\0\0\0\x12\0\x03\0\0user\0you\0\0"),
            Hear(b"no pg_hba.conf entry"),
        ],
    },
    Program {
        name: "Redis",
        port: 16379,
        program: "/usr/bin/redis-server",
        script: "exec redis-server --port $PORT --bind '*' '-::*' --protected-mode no --dir $DATA",
        talk: &[
            Say(b"*1\r\n$4\r\nPING\r\n"),
            Hear(b"+PONG\r\n"),
            Say(b"SET greeting hello\r\n"),
            Hear(b"+OK\r\n"),
            Say(b"GET greeting\r\n"),
            Close,
            Hear(b"$5\r\nhello\r\n"),
        ],
    },
    Program {
        name: "SMTP",
        port: 10025,
        program: "/usr/sbin/smtpd",
        // It asks for its client's name before it greets: nobody is there to ask.
        script: "printf 'listen on 0.0.0.0 port %s\\nlisten on :: port %s\\naction a relay\\nmatch for any action a\\n' \
                 $PORT $PORT > $DATA/conf && \
                 exec unshare -m sh -c 'mount --bind /dev/null /etc/resolv.conf; exec smtpd -d -f $DATA/conf'",
        talk: &[Hear(b"220 "), Say(b"EHLO there.example\r\n"), Hear(b"250"), Say(b"QUIT\r\n"), Hear(b"221")],
    },
    Program {
        name: "NATS",
        port: 14222,
        program: "/usr/sbin/nats-server",
        script: "exec nats-server -a :: -p $PORT",
        talk: &[Hear(b"INFO {"), Say(b"CONNECT {\"verbose\":false}\r\nPING\r\n"), Hear(b"PONG\r\n")],
    },
    Program {
        name: "RabbitMQ",
        port: 15672,
        program: "/usr/lib/rabbitmq/bin/rabbitmq-server",
        script: "export HOME=$DATA RABBITMQ_BASE=$DATA RABBITMQ_MNESIA_BASE=$DATA RABBITMQ_LOG_BASE=$DATA \
                 RABBITMQ_NODENAME=test@localhost RABBITMQ_NODE_PORT=$PORT RABBITMQ_PID_FILE=$DATA/pid \
                 RABBITMQ_ENABLED_PLUGINS_FILE=$DATA/plugins ERL_EPMD_PORT=14369 RABBITMQ_DIST_PORT=14370; \
                 exec /usr/lib/rabbitmq/bin/rabbitmq-server",
        talk: &[Say(b"AMQP\0\0\x09\x01"), Hear(b"RabbitMQ")],
    },
];

impl Program {
    pub fn is_installed(&self) -> bool {
        Path::new(self.program).exists()
    }
}

/// A running server; it ends, with all that it started, when dropped.
pub struct Running {
    child: Child,
    data: PathBuf,
}

impl Running {
    pub fn start(program: &Program, namespace: &Arc<Namespace>) -> Self {
        use std::os::unix::process::CommandExt as _;
        let data = std::env::temp_dir().join(format!("{}-{}", namespace.name, program.port));
        std::fs::create_dir_all(&data).unwrap();
        let log = std::fs::File::create(data.with_extension("log")).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", program.script]).env("DATA", &data).env("PORT", program.port.to_string());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        Self { child: namespace.run(move || command.spawn().unwrap()), data }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.with_extension("log")).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.data);
        let _ = std::fs::remove_file(self.data.with_extension("log"));
    }
}
