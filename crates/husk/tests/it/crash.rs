//! A power cut at any moment of `up`: the next `up` converges, and `down` leaves nothing.

use crate::harness::{Place, assert_converged};
use crate::host_roots::{differences, snapshot};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Moments of one rollout at which everything is killed.
const MOMENTS: u64 = 10;

#[test]
fn a_power_cut_at_any_moment_is_made_good_by_the_next_up() {
    let place = Place::new();
    let hosts = ["--hosts", "k8s:2,k3s:1,crio:1"];
    place.ok(&["sandbox", "up", "--hosts", hosts[1]]);
    let names = place.hosts();
    let before: Vec<_> = names.iter().map(|host| snapshot(&place.host(host))).collect();

    // How long an undisturbed run takes gives the moments.
    let begun = Instant::now();
    place.ok(&["up", "--sandbox"]);
    let whole = begun.elapsed();
    place.ok(&["down", "--sandbox"]);

    let mut seed = u64::from(std::process::id());
    for moment in 0..MOMENTS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = (moment * 100 + (seed >> 33) % 100) as f64 / (MOMENTS * 100) as f64;
        let pause = whole.mul_f64(share);
        let mut up =
            place.command().args(["up", "--sandbox"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(pause);
        place.kill_everything();
        let _ = up.wait();
        std::thread::sleep(Duration::from_millis(50));
        let ended = place.husk(&["up", "--sandbox", "-o", "json"]);
        assert_eq!(ended.code, Some(0), "after a cut at {pause:?} of {whole:?}: {ended}\n{}", place.logs());
        let report = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(assert_converged(&report), 4, "after a cut at {pause:?}");
        if moment % 2 == 1 {
            place.ok(&["down", "--sandbox"]);
            for (host, before) in names.iter().zip(&before) {
                let now = snapshot(&place.host(host));
                assert_eq!(differences(before, &now), Vec::<String>::new(), "host {host} after a cut at {pause:?}");
            }
        }
    }
}
