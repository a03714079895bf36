//! Where the API server spends its processor time.

use std::path::Path;
use std::time::Duration;

use http_body_util::BodyExt;
use ipam::api::Kind;
use kube::client::Body;
use tokio::task::JoinHandle;

use crate::Contender;
use crate::scene::Scene;

/// A burst is in full swing by then.
const BEGINS: Duration = Duration::from_secs(3);

/// So many seconds from then on.
const LONG: usize = 10;

/// Begins a profile of the API server, which is left in `folder` for `go tool pprof`, by kind and contender. It costs the
/// API server some hundredths of what it does.
pub fn begin(scene: &Scene<'_>, contender: &Contender, folder: &Path) -> JoinHandle<()> {
    std::fs::create_dir_all(folder).expect("the folder for profiles can be made");
    let kind = Kind::Claim(scene.family).name().to_lowercase();
    let file = folder.join(format!("{kind}-{}.pprof", contender.name().replace(", ", "-")));
    let request = http::Request::get(format!("/debug/pprof/profile?seconds={LONG}"));
    let request = request.body(Body::empty()).expect("a request");
    let client = scene.client.clone();
    tokio::spawn(async move {
        tokio::time::sleep(BEGINS).await;
        let answer = client.send(request).await.expect("the API server makes a profile");
        let profile = answer.into_body().collect().await.expect("the profile arrives").to_bytes();
        std::fs::write(&file, profile).expect("the profile can be written");
        eprintln!("{} was written", file.display());
    })
}
