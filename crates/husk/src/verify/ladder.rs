//! The ladder's rules: what a witness proves, and how far a pair of node and class has come. Pure.

use super::evidence;
use crate::rollout::Class;
use crate::summary::{NodeSummary, columns};
use node::witness::Witness;
use serde::Serialize;
use std::fmt::Write as _;

/// A rung, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Rung {
    /// The handler is served.
    Served,
    /// A pod boots, in a kernel that is not the host's.
    Booted,
    /// The guest has evidence of a TEE, made for us.
    Evidence,
    /// A key broker released a secret to the guest.
    Secret,
    /// And not to a pod outside of it.
    Exclusive,
}

impl Rung {
    pub(super) const fn level(self) -> u8 {
        self as u8
    }
}

/// One node and one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cell {
    pub(super) node: String,
    pub(super) class: String,
    /// Whether the class is made for a TEE.
    pub(super) confidential: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reached: Option<Rung>,
    /// What was seen on the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) seen: Vec<String>,
    /// What the installer found out about the class's TEE on the host, when it is not there.
    #[serde(skip)]
    pub(super) host: Option<String>,
    /// Why it is not as far as was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trouble: Option<String>,
}

impl Cell {
    fn word(&self) -> String {
        let level = self.reached.map_or("none".to_owned(), |rung| format!("level {}", rung.level()));
        match (&self.trouble, self.confidential, self.reached) {
            (Some(_), ..) => format!("{level} ✗"),
            (None, false, Some(Rung::Booted)) => format!("{level} works, not confidential"),
            (None, true, Some(rung)) if rung >= Rung::Evidence => format!("{level} ✓ confidential"),
            _ => format!("{level} ✓"),
        }
    }

    /// The cell as one line.
    pub(super) fn line(&self) -> String {
        let why = self.trouble.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{} on {}: {}{why}", self.class, self.node, self.word())
    }
}

/// What the user wants proven.
pub(super) struct Wish<'a> {
    pub(super) classes: &'a [String],
    pub(super) nodes: &'a [String],
    /// Most nodes when none is named.
    pub(super) most: usize,
}

/// Whether a handler's guests run in a TEE; the others are for development or for isolation alone.
pub(super) fn is_confidential(handler: &str) -> bool {
    handler.split('-').any(|part| matches!(part, "snp" | "tdx" | "se" | "cca" | "sev"))
}

/// Returns the host check's warning that the host lacks the TEE of a handler.
fn missing_tee(handler: &str, warnings: &[String]) -> Option<String> {
    let (_, tee) =
        [("snp", "SEV-SNP"), ("tdx", "TDX")].into_iter().find(|(part, _)| handler.split('-').any(|it| it == *part))?;
    warnings.iter().find(|warning| warning.starts_with("tee:") && warning.contains(tee)).cloned()
}

/// Makes the table's cells with what level 0 says of each; an unknown class is an error.
pub(super) fn cells(nodes: &[NodeSummary], classes: &[Class], wish: &Wish<'_>) -> Result<Vec<Cell>, String> {
    if let Some(name) = wish.classes.iter().find(|name| classes.iter().all(|class| class.name != **name)) {
        let known: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
        return Err(format!("the release has no class {name}; it has {}", known.join(", ")));
    }
    let named = |node: &&NodeSummary| wish.nodes.contains(&node.name);
    let chosen: Vec<&NodeSummary> = if wish.nodes.is_empty() {
        nodes.iter().filter(|node| node.selected).take(wish.most).collect()
    } else {
        nodes.iter().filter(named).collect()
    };
    if chosen.is_empty() {
        return Err("the release selects no node".to_owned());
    }
    let mut cells = Vec::new();
    for class in classes.iter().filter(|class| wish.classes.is_empty() || wish.classes.contains(&class.name)) {
        for node in &chosen {
            let served = node.handlers.contains(&class.handler);
            cells.push(Cell {
                node: node.name.clone(),
                class: class.name.clone(),
                confidential: is_confidential(&class.handler),
                reached: served.then_some(Rung::Served),
                seen: Vec::new(),
                host: missing_tee(&class.handler, &node.warnings),
                trouble: (!served).then(|| match &node.skipped {
                    Some(why) => format!("the node is not selected: it {why}"),
                    None => format!("the node does not serve {}; `husk status` says why", class.handler),
                }),
            });
        }
    }
    Ok(cells)
}

/// Judges what a pod of the class said; `host` is the host's kernel, `data` what was to be in the evidence.
pub(super) fn judge(cell: &mut Cell, witness: Result<&Witness, &str>, host: &str, data: &str, level: u8) {
    let witness = match witness {
        Ok(witness) => witness,
        Err(why) => {
            cell.trouble = Some(why.to_owned());
            return;
        }
    };
    if witness.kernel.is_empty() {
        cell.trouble = Some("the pod could not read its kernel's version".to_owned());
        return;
    }
    if witness.kernel == host {
        cell.trouble = Some(format!("the pod runs on the host's own kernel, {host}: it is no virtual machine"));
        return;
    }
    cell.reached = Some(Rung::Booted);
    cell.seen.push(format!("kernel {} in the guest, {host} on the host", witness.kernel));
    if level < 2 || !cell.confidential {
        return;
    }
    let Some(answer) = &witness.evidence else {
        cell.trouble = Some("the pod did not ask for evidence: its image is not of this version of husk".to_owned());
        return;
    };
    if answer.status != 200 {
        let why = if answer.trouble.is_empty() {
            format!("HTTP {}: {}", answer.status, answer.body)
        } else {
            answer.trouble.clone()
        };
        cell.trouble = Some(format!(
            "the guest gave no evidence: {why}; its agent answers when the kernel parameter \
             agent.guest_components_rest_api=all is set{}",
            cell.host.as_ref().map(|why| format!(". On the host: {why}")).unwrap_or_default()
        ));
        return;
    }
    match evidence::read(&answer.body, data) {
        Ok(proof) => {
            cell.reached = Some(Rung::Evidence);
            cell.seen.push(format!("{} evidence, measurement {}", proof.tee, proof.measurement));
        }
        Err(why) => {
            cell.trouble = Some(why);
            return;
        }
    }
    if level < 3 {
        return;
    }
    match &witness.resource {
        Some(answer) if answer.status == 200 => {
            cell.reached = Some(Rung::Secret);
            cell.seen.push(format!("secret released, SHA-256 {}", answer.body));
        }
        Some(answer) => {
            cell.trouble = Some(format!(
                "the key broker gave no secret: HTTP {} {}{}",
                answer.status, answer.body, answer.trouble
            ));
        }
        None => cell.trouble = Some("the pod did not ask for the secret".to_owned()),
    }
}

/// Judges what a pod outside of a TEE got when it asked for the same secret.
pub(super) fn judge_outside(cell: &mut Cell, witness: Result<&Witness, &str>) {
    match witness.map(|witness| witness.resource.as_ref()) {
        Ok(Some(answer)) if answer.status == 200 => {
            cell.trouble = Some("a pod without a TEE got the secret too".to_owned());
        }
        Ok(Some(_)) => {
            cell.reached = Some(Rung::Exclusive);
            cell.seen.push("a pod without a TEE was refused".to_owned());
        }
        Ok(None) => cell.trouble = Some("the pod outside did not ask, so nothing is proven".to_owned()),
        Err(why) => cell.trouble = Some(format!("the pod outside did not run, so nothing is proven: {why}")),
    }
}

/// Draws nodes by classes, and each trouble below.
pub(super) fn table(cells: &[Cell]) -> String {
    let mut rows = vec![["CLASS", "NODE", "RESULT"].map(str::to_owned)];
    rows.extend(cells.iter().map(|cell| [cell.class.clone(), cell.node.clone(), cell.word()]));
    let mut text = columns(&rows);
    for cell in cells {
        if let Some(why) = &cell.trouble {
            let _ = writeln!(text, "{} on {}: {why}", cell.class, cell.node);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use node::witness::Answer;

    const SNP: &str = include_str!("../../tests/data/evidence/snp.json");

    fn cell(confidential: bool) -> Cell {
        Cell {
            node: "n".into(),
            class: "kata-qemu-snp".into(),
            confidential,
            reached: Some(Rung::Served),
            seen: Vec::new(),
            host: None,
            trouble: None,
        }
    }

    fn witness(kernel: &str, evidence: &str, secret: u16) -> Witness {
        Witness {
            kernel: kernel.into(),
            evidence: Some(Answer { status: 200, body: evidence.into(), trouble: String::new() }),
            resource: Some(Answer { status: secret, body: "00".into(), trouble: String::new() }),
            ..Witness::default()
        }
    }

    fn judged(confidential: bool, witness: &Witness, level: u8) -> Cell {
        let mut cell = cell(confidential);
        judge(&mut cell, Ok(witness), "6.12.48-generic", "test", level);
        cell
    }

    #[test]
    fn a_kernel_of_its_own_is_level_1_and_the_hosts_is_not() {
        let guest = witness("6.12.0-kata", SNP, 200);
        assert_eq!(judged(true, &guest, 1).reached, Some(Rung::Booted));
        let host = judged(true, &witness("6.12.48-generic", SNP, 200), 1);
        assert!(host.reached == Some(Rung::Served) && host.trouble.unwrap().contains("no virtual machine"));
    }

    #[test]
    fn a_development_class_works_and_is_said_not_to_be_confidential() {
        let cell = judged(false, &witness("guest", SNP, 200), 4);
        assert_eq!((cell.reached, cell.trouble.as_ref()), (Some(Rung::Booted), None));
        assert!(table(&[cell]).contains("works, not confidential"));
        for (handler, confidential) in [
            ("kata-qemu-snp", true),
            ("kata-qemu-nvidia-gpu-tdx", true),
            ("kata-qemu-coco-dev", false),
            ("kata-qemu", false),
        ] {
            assert_eq!(is_confidential(handler), confidential, "{handler}");
        }
    }

    #[test]
    fn recorded_evidence_climbs_and_a_secret_for_everybody_is_a_failure() {
        let guest = witness("guest", SNP, 200);
        assert_eq!(judged(true, &guest, 2).reached, Some(Rung::Evidence));
        let mut cell = judged(true, &guest, 4);
        assert_eq!(cell.reached, Some(Rung::Secret));
        judge_outside(&mut cell, Ok(&witness("host", "", 403)));
        assert_eq!((cell.reached, cell.trouble.as_ref()), (Some(Rung::Exclusive), None));
        judge_outside(&mut cell, Ok(&guest));
        assert!(cell.trouble.unwrap().contains("without a TEE got the secret"));
        assert!(judged(true, &witness("guest", SNP, 403), 3).trouble.unwrap().contains("no secret"));
        let mut stale = cell_with("other data");
        assert!(stale.trouble.take().unwrap().contains("somebody else"));
    }

    fn cell_with(data: &str) -> Cell {
        let mut cell = cell(true);
        judge(&mut cell, Ok(&witness("guest", SNP, 200)), "host", data, 2);
        cell
    }

    #[test]
    fn a_silent_guest_and_a_pod_that_did_not_run_say_so() {
        let mut silent = witness("guest", "", 0);
        silent.evidence = Some(Answer { trouble: "connection refused".into(), ..Answer::default() });
        assert!(judged(true, &silent, 2).trouble.unwrap().contains("guest_components_rest_api"));
        silent.evidence = None;
        assert!(judged(true, &silent, 2).trouble.unwrap().contains("not of this version"), "level 2 was asked for");
        assert_eq!(judged(true, &silent, 1).trouble, None);
        let mut cell = cell(true);
        judge(&mut cell, Err("FailedCreatePodSandBox"), "h", "test", 1);
        assert_eq!(cell.reached, Some(Rung::Served));
        assert!(cell.trouble.is_some());
    }

    #[test]
    fn without_the_hardware_the_hosts_own_word_is_passed_on() {
        let warnings =
            ["kernel: old", "tee: `qemu-tdx` needs TDX, which this host does not have on"].map(str::to_owned);
        assert_eq!(missing_tee("kata-qemu-snp", &warnings), None);
        let mut cell = Cell { host: missing_tee("kata-qemu-tdx", &warnings), ..cell(true) };
        let refused = Answer { trouble: "connection refused".into(), ..Answer::default() };
        let silent = Witness { kernel: "guest".into(), evidence: Some(refused), ..Witness::default() };
        judge(&mut cell, Ok(&silent), "host", "test", 2);
        assert!(
            cell.trouble.unwrap().ends_with("On the host: tee: `qemu-tdx` needs TDX, which this host does not have on")
        );
    }

    #[test]
    fn level_0_is_what_nodes_serve() {
        let classes = [Class { name: "kata-a".into(), handler: "kata-a".into() }];
        let serving =
            NodeSummary { name: "s".into(), selected: true, handlers: vec!["kata-a".into()], ..Default::default() };
        let lacking = NodeSummary { name: "l".into(), selected: true, ..Default::default() };
        let wish = Wish { classes: &[], nodes: &[], most: 8 };
        let found = cells(&[serving, lacking], &classes, &wish).unwrap();
        assert_eq!(found.iter().map(|cell| cell.reached.is_some()).collect::<Vec<_>>(), [true, false]);
        let unknown = ["kata-z".to_owned()];
        assert!(cells(&[], &classes, &Wish { classes: &unknown, ..wish }).unwrap_err().contains("kata-z"));
    }
}
