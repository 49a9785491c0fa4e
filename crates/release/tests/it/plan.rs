use crate::cluster::{Plain, TestCluster, config_map, job, no_values, quick};
use release::plan::{Action, Plan};
use release::record::HookEvent::{PostInstall, PostUpgrade};
use release::{Options, Situation};

fn actions(plan: &Plan) -> Vec<(String, &'static str)> {
    let word = |action: &Action| match action {
        Action::Create => "create",
        Action::Change { .. } => "change",
        Action::Recreate { .. } => "recreate",
        Action::Delete => "delete",
        Action::Keep { .. } => "keep",
        Action::Unchanged => "unchanged",
        Action::Blocked { .. } => "blocked",
    };
    let mut actions: Vec<_> =
        plan.objects.iter().map(|planned| (planned.object.name.clone(), word(&planned.action))).collect();
    actions.sort();
    actions
}

fn pair(name: &str, action: &'static str) -> (String, &'static str) {
    (name.to_owned(), action)
}

#[tokio::test]
async fn a_plan_says_what_the_operation_then_does() {
    let cluster = TestCluster::start().await;
    let engine = cluster.engine();
    let source = Plain::new(&[
        config_map("same", "1"),
        config_map("changed", "1"),
        config_map("gone", "1"),
        job("task", "succeed"),
    ])
    .hook(job("hook", "succeed"), &[PostInstall, PostUpgrade], 0);
    let plan = engine.plan("web", source.clone().arc(), no_values(), &quick()).await.unwrap();
    assert_eq!((plan.situation, plan.revision, plan.counts().create), (Situation::Absent, 1, 4));
    assert_eq!((plan.hooks[0].event, plan.hooks[0].name.as_str()), ("post-install", "hook"));
    assert_eq!(cluster.names("v1", "ConfigMap").await, [] as [&str; 0], "nothing was created");
    assert!(engine.history("web").await.is_err());

    engine.install("web", source.clone().arc(), no_values(), &quick()).await.unwrap();
    let plan = engine.plan("web", source.arc(), no_values(), &quick()).await.unwrap();
    assert!(plan.is_empty(), "{:?}", plan.objects);
    assert_eq!((plan.situation, plan.revision, plan.hooks[0].event), (Situation::Deployed, 2, "post-upgrade"));

    let mut task = job("task", "succeed");
    task["spec"]["template"]["spec"]["containers"][0]["image"] = "y".into();
    cluster.put(config_map("foreign", "x")).await;
    let next = Plain::new(&[
        config_map("same", "1"),
        config_map("changed", "2"),
        config_map("new", "1"),
        config_map("foreign", "1"),
        task,
    ]);
    let plan = engine.plan("web", next.clone().arc(), no_values(), &quick()).await.unwrap();
    assert_eq!(
        actions(&plan),
        [
            pair("changed", "change"),
            pair("foreign", "blocked"),
            pair("gone", "delete"),
            pair("new", "create"),
            pair("same", "unchanged"),
            pair("task", "blocked")
        ]
    );
    let changed = plan.objects.iter().find(|planned| planned.object.name == "changed").unwrap();
    let Action::Change { fields } = &changed.action else { panic!("{changed:?}") };
    assert_eq!(fields.len(), 1);
    assert_eq!(
        (fields[0].path.as_str(), &fields[0].before, &fields[0].after),
        ("data.k", &Some("1".into()), &Some("2".into()))
    );

    let options = Options { recreate: true, take_ownership: true, force_conflicts: true, ..quick() };
    let plan = engine.plan("web", next.arc(), no_values(), &options).await.unwrap();
    assert!(actions(&plan).contains(&pair("task", "recreate")) && actions(&plan).contains(&pair("foreign", "change")));
}
