//! No `CockroachDB` is at hand; its lease is ordinary SQL, and is tried on the server that is.

use std::time::Duration;

use dotfill::ensure::cockroach::lease::Lease;
use dotfill::ensure::{Link, Target};

use crate::scene::{Scene, UNIQUE};

#[test]
fn one_has_it_until_it_is_given_back_or_stands_still() {
    let scene = Scene::new(UNIQUE);
    let link = Link::new(&Target::parse(&scene.url).unwrap()).unwrap();
    let session = link.open().unwrap();
    let period = Duration::from_millis(400);
    let lease = |owner: &str| Lease::new("public", "users_email", owner.to_owned(), period);
    let (mut a, mut b) = (lease("a"), lease("b"));

    assert_eq!(a.holder(&session).unwrap(), None, "there is no table yet");
    assert!(a.take(&session).unwrap());
    assert_eq!(a.holder(&session).unwrap(), Some(None));
    assert_eq!(b.holder(&session).unwrap(), Some(Some("a".to_owned())));
    assert!(!b.take(&session).unwrap(), "it is a's");

    // While its owner beats, nobody takes it, however long that lasts.
    for _ in 0..10 {
        std::thread::sleep(period / 4);
        assert_eq!(a.holder(&session).unwrap(), Some(None));
        assert_eq!(b.holder(&session).unwrap(), Some(Some("a".to_owned())));
    }
    std::thread::sleep(period + period / 2);
    assert_eq!(b.holder(&session).unwrap(), None, "it stands still");
    a.beat(&session).unwrap();
    assert!(!b.take(&session).unwrap(), "it has moved since b looked");
    assert_eq!(b.holder(&session).unwrap(), Some(Some("a".to_owned())));
    std::thread::sleep(period + period / 2);
    assert_eq!(b.holder(&session).unwrap(), None);
    assert!(b.take(&session).unwrap());
    assert_eq!(a.holder(&session).unwrap(), Some(Some("b".to_owned())));

    a.release(&session).unwrap();
    assert_eq!(b.holder(&session).unwrap(), Some(None), "a has nothing to give back");
    b.release(&session).unwrap();
    assert!(a.take(&session).unwrap());
}
