//! Servers that people run, as Debian packages them, and what their clients say to them first.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::net::Namespace;

/// A server, and a conversation by which it is known.
pub struct Program {
    pub name: &'static str,
    pub port: u16,
    /// What must be installed; a pattern of the shell's.
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
        // Without its tables it still greets and counts.
        script: "mkdir $DATA/db && exec /usr/sbin/mariadbd --no-defaults --user=root --skip-grant-tables \
                 --skip-name-resolve --datadir=$DATA/db --socket=$DATA/sock --port=$PORT --bind-address=*",
        talk: &[
            Hear(b"mysql_native_password\0"),
            // HandshakeResponse41: capabilities, largest packet, character set, user, no password.
            Say(b"\x3c\0\0\x01\x01\x82\x08\0\0\0\0\x01\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0root\0\0\
                mysql_native_password\0"),
            Hear(b"\x07\0\0\x02\0"),
            Say(b"\x0b\0\0\0\x03SELECT 6*7"),
            Hear(b"\x0242"),
        ],
    },
    Program {
        name: "PostgreSQL",
        port: 15432,
        program: "/usr/lib/postgresql/*/bin/postgres",
        script: "chown -R nobody $DATA; cd $DATA; B=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1); \
                 setpriv --reuid nobody --clear-groups $B/initdb -D $DATA/db -A trust -U me && \
                 echo 'host all all all trust' >> $DATA/db/pg_hba.conf && \
                 exec setpriv --reuid nobody --clear-groups $B/postgres -D $DATA/db -p $PORT -h '*' -k $DATA",
        // SSLRequest, refused; then a startup message and a query.
        talk: &[
            Say(b"\0\0\0\x08\x04\xd2\x16\x2f"),
            Hear(b"N"),
            Say(b"\0\0\0\x23\0\x03\0\0user\0me\0database\0postgres\0\0"),
            Hear(b"Z\0\0\0\x05I"),
            Say(b"Q\0\0\0\x0fSELECT 6*7\0"),
            Hear(b"D\0\0\0\x0c\0\x01\0\0\0\x0242"),
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
        // It asks for its client's name before it greets: nobody is there to ask. Its queue is not the machine's.
        script: "printf 'listen on 0.0.0.0 port %s\\nlisten on :: port %s\\naction a relay\\nmatch from any for any action a\\n' \
                 $PORT $PORT > $DATA/conf && \
                 exec unshare -m sh -c 'mount --bind /dev/null /etc/resolv.conf; \
                 mount -t tmpfs -o mode=711 none /var/spool/smtpd; exec smtpd -d -f $DATA/conf'",
        talk: &[
            Hear(b"220 "),
            Say(b"EHLO there.example\r\n"),
            Hear(b"250 HELP\r\n"),
            Say(b"MAIL FROM:<me@there.example>\r\n"),
            Hear(b"250 "),
            Say(b"RCPT TO:<you@here.example>\r\n"),
            Hear(b"250 "),
            Say(b"DATA\r\n"),
            Hear(b"354 "),
            Say(b"Subject: tea\r\n\r\nIt is ready.\r\n.\r\n"),
            Hear(b"250 "),
            Say(b"QUIT\r\n"),
            Hear(b"221 "),
        ],
    },
    Program {
        name: "NATS",
        port: 14222,
        program: "/usr/*bin/nats-server",
        script: "exec nats-server -a :: -p $PORT",
        talk: &[
            Hear(b"INFO {"),
            Say(b"CONNECT {\"verbose\":false}\r\nPING\r\n"),
            Hear(b"PONG\r\n"),
            Say(b"SUB tea 1\r\nPUB tea 5\r\nhello\r\n"),
            Hear(b"MSG tea 1 5\r\nhello\r\n"),
        ],
    },
    Program {
        name: "RabbitMQ",
        port: 15672,
        program: "/usr/lib/rabbitmq/bin/rabbitmq-server",
        script: "export HOME=$DATA RABBITMQ_BASE=$DATA RABBITMQ_MNESIA_BASE=$DATA RABBITMQ_LOG_BASE=$DATA \
                 RABBITMQ_NODENAME=test@localhost RABBITMQ_NODE_PORT=$PORT RABBITMQ_PID_FILE=$DATA/pid \
                 RABBITMQ_ENABLED_PLUGINS_FILE=$DATA/plugins RABBITMQ_CONFIG_FILE=$DATA/rabbitmq.conf \
                 ERL_EPMD_PORT=14369 RABBITMQ_DIST_PORT=14370; \
                 echo 'loopback_users.guest = false' > $DATA/rabbitmq.conf; \
                 exec /usr/lib/rabbitmq/bin/rabbitmq-server",
        // Frames: type, channel, length, class, method, arguments, end.
        talk: &[
            Say(b"AMQP\0\0\x09\x01"),
            Hear(b"RabbitMQ"),
            // connection.start-ok; tune and tune-ok; open and open-ok.
            Say(b"\x01\0\0\0\0\0\x24\0\x0a\0\x0b\0\0\0\0\x05PLAIN\0\0\0\x0c\0guest\0guest\x05en_US\xce"),
            Hear(b"\0\x0a\0\x1e"),
            Say(b"\x01\0\0\0\0\0\x0c\0\x0a\0\x1f\x07\xff\0\x02\0\0\0\0\xce"),
            Say(b"\x01\0\0\0\0\0\x08\0\x0a\0\x28\x01/\0\0\xce"),
            Hear(b"\0\x0a\0\x29"),
            // channel.open; queue.declare.
            Say(b"\x01\0\x01\0\0\0\x05\0\x14\0\x0a\0\xce"),
            Hear(b"\0\x14\0\x0b"),
            Say(b"\x01\0\x01\0\0\0\x0f\0\x32\0\x0a\0\0\x03tea\0\0\0\0\0\xce"),
            Hear(b"\0\x32\0\x0b"),
            // basic.publish with its header and body; basic.get.
            Say(b"\x01\0\x01\0\0\0\x0c\0\x3c\0\x28\0\0\0\x03tea\0\xce\
                \x02\0\x01\0\0\0\x0e\0\x3c\0\0\0\0\0\0\0\0\0\x05\0\0\xce\x03\0\x01\0\0\0\x05hello\xce"),
            Say(b"\x01\0\x01\0\0\0\x0b\0\x3c\0\x46\0\0\x03tea\x01\xce"),
            Hear(b"\0\x3c\0\x47"),
            Hear(b"hello\xce"),
        ],
    },
];

impl Program {
    pub fn is_installed(&self) -> bool {
        let found = Command::new("sh").args(["-c", &format!("ls {}", self.program)]).output();
        found.is_ok_and(|found| found.status.success())
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
