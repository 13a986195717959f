//! tmp
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let m = dotfill::migration::Migration::load(a[2].as_ref()).unwrap_or_else(|e| panic!("{e}"));
    let o = dotfill::engine::RunOptions::default();
    let db = std::path::Path::new(&a[3]);
    match a[1].as_str() {
        "run" => match dotfill::engine::run(db, &m, &o, &dotfill::monitor::Quiet) {
            Ok(r) => println!("{}", serde_json::to_string_pretty(&r).unwrap_or_default()),
            Err(e) => println!("ERR {e}"),
        },
        "close" => println!("{:?}", dotfill::engine::close(db, &m, &o, &dotfill::monitor::Quiet)),
        "rollback" => {
            println!("{:?}", dotfill::engine::rollback(db, &m, &o, &dotfill::monitor::Quiet));
        }
        "forget" => println!("{:?}", dotfill::engine::forget(db, m.id.as_str())),
        _ => {}
    }
}
