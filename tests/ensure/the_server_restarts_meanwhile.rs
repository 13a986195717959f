//! The server crashes while it builds, and comes back: every caller connects again, one builds
//! again.

use crate::scene::{Scene, UNIQUE, VALID};
use crate::server::Server;
use crate::sql::Sql;

#[test]
fn a_crash_of_the_server_is_recovered_from() {
    let mut server = Server::start();
    let scene = Scene::on(&server, UNIQUE);
    let writer = scene.writer();
    // The looks of `callers` need a session of their own, which the crash would end.
    let running: Vec<_> = (0..4).map(|_| scene.start(&[])).collect();
    scene.building();
    server.crash();
    std::thread::sleep(std::time::Duration::from_millis(300));
    server.go_on();
    drop(writer);
    let after = Sql::open(&scene.url);
    for caller in running {
        let output = caller.end().expect_complete();
        assert_eq!(after.cell(VALID), "t", "{}", output.json);
    }
}
