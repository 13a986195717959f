//! Every file operation takes its time: the command does what it does on a fast disk.

use crate::cases::Case;
use crate::scene::Scene;
use crate::shim::Fault;

#[track_caller]
fn check(case: Case) {
    let scene = Scene::new(case);
    let (fast, slow) = (scene.copy("fast"), scene.copy("slow"));
    let ended = scene.call(&fast, None);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let ended = scene.call(&slow, Some(Fault { at: 1, action: "delay-on" }));
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!(scene.compare(&slow, &scene.dump(&fast)), None);
}

each_case!(check);
