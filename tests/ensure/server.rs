//! A real `PostgreSQL` of our own: made in a temporary folder, run by an unprivileged user on a
//! free port, and gone when the test process is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::eventually;
use crate::sql::Sql;

/// Commit timestamps say when an index became valid; the log says which statements were run where.
const SETTINGS: &[&str] = &[
    "fsync=off",
    "listen_addresses=127.0.0.1",
    "max_connections=120",
    "track_commit_timestamp=on",
    "log_statement=ddl",
    "log_line_prefix=%d|",
    "autovacuum=off",
    "jit=off",
    "ssl=on",
    "ssl_cert_file=../cert.pem",
    "ssl_key_file=../key.pem",
];

/// Runs until standard input ends, which it does with whoever has the other end, however that one
/// ends; then stops the server and removes its folder.
const SUPERVISOR: &str = r#"
folder=$1; shift
"$@" </dev/null >>"$folder/log" 2>&1 &
server=$!
echo "$server"
read -r _
kill -INT "$server" 2>/dev/null
wait "$server"
rm -rf "$folder"
"#;

/// A server.
pub struct Server {
    pub port: u16,
    folder: PathBuf,
    /// The supervisor; `None` while it is stopped.
    child: Option<Child>,
}

static SHARED: OnceLock<Server> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The server that tests share; each has databases of its own.
pub fn shared() -> &'static Server {
    SHARED.get_or_init(Server::start)
}

impl Server {
    /// Makes and starts one.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("dotfill-postgres-").tempdir().unwrap().keep();
        fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        own(&folder);
        let data = folder.join("data");
        let made = program("initdb", &folder)
            .args(["-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C", "-D"])
            .arg(&data)
            .output()
            .expect("initdb starts");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        certificate(&folder);
        let mut server = Self { port: free_port(), folder, child: None };
        server.go_on();
        server
    }

    /// Starts it again after [`Server::stop`], on the same port.
    pub fn go_on(&mut self) {
        assert!(self.child.is_none(), "it is running");
        let mut settings = vec![format!("port={}", self.port)];
        settings.push(format!("unix_socket_directories={}", self.folder.display()));
        settings.extend(SETTINGS.iter().map(|&setting| setting.to_owned()));
        let server = program("postgres", &self.folder);
        let mut command = Command::new("sh");
        command.args(["-c", SUPERVISOR, "sh"]).arg(&self.folder).arg(server.get_program());
        command.args(server.get_args()).arg("-D").arg(self.folder.join("data"));
        for setting in &settings {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).current_dir(&self.folder);
        self.child = Some(command.spawn().expect("sh starts"));
        let log = self.folder.join("log");
        eventually("the server answers", || {
            let running = self.child.as_mut().unwrap().try_wait().unwrap().is_none();
            assert!(running, "{}", fs::read_to_string(&log).unwrap_or_default());
            Sql::try_open(&self.url("postgres")).is_some()
        });
    }

    /// Ends it at once, as a crash does: no shutdown, no checkpoint.
    pub fn crash(&mut self) {
        let mut child = self.child.take().expect("it is running");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        // SIGQUIT to the server we started, by its number.
        let killed = Command::new("kill").args(["-QUIT", line.trim()]).status().unwrap();
        assert!(killed.success());
        // The supervisor would remove the folder; it is ended first, then the server's end awaited.
        child.kill().unwrap();
        child.wait().unwrap();
        let pid_file = self.folder.join("data/postmaster.pid");
        eventually("the server is gone", || {
            !Path::new(&format!("/proc/{}", line.trim())).exists() || !pid_file.exists()
        });
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// A new database: its URL, and its name.
    pub fn database(&self) -> (String, String) {
        let name = format!("d{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        // Databases are copied from a template that nobody may be connected to.
        eventually("the database is made", || {
            Sql::open(&self.url("postgres")).try_run(&format!("CREATE DATABASE {name}")).is_ok()
        });
        (self.url(&name), name)
    }

    /// How many statements with `word` in them a database was given, by the server's log, which
    /// says those that failed a second time.
    pub fn statements(&self, database: &str, word: &str) -> usize {
        let log = fs::read_to_string(self.folder.join("log")).unwrap();
        let prefix = format!("{database}|");
        let given = |line: &&str| line.starts_with(&prefix) && !line.contains("STATEMENT:");
        log.lines().filter(given).filter(|line| line.contains(word)).count()
    }

    /// The certificate that the server shows; it is its own authority.
    pub fn certificate(&self) -> String {
        self.folder.join("cert.pem").display().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// One of the server's programs, to be run by somebody who is not root: it refuses to serve root.
fn program(name: &str, folder: &Path) -> Command {
    let path = binaries().join(name);
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        let (uid, gid) = nobody();
        command.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
        command.arg("--clear-groups").arg(path);
        command
    } else {
        Command::new(path)
    };
    command.current_dir(folder);
    command
}

/// The folder of the server's programs; a missing server fails with what helps.
fn binaries() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = Command::new(root.join("tools/postgres")).output().expect("tools/postgres starts");
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    String::from_utf8(found.stdout).unwrap().trim().into()
}

/// An unprivileged user: user and group.
fn nobody() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    ids("nobody").or_else(|| ids("postgres")).expect("a user who is not root")
}

/// Gives a file or folder to whoever runs the server.
fn own(path: &Path) {
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = nobody();
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

/// A certificate for `localhost` that it has signed itself.
fn certificate(folder: &Path) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .output()
        .expect("openssl, which Debian's postgresql brings along, starts");
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    for file in ["key.pem", "cert.pem"] {
        own(&folder.join(file));
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
