use std::path::Path;
use std::time::Duration;

use mesh_config::{Durability, Endpoint, Launch, LoadOptions, LogFormat, Mesh, OnWorkerLoss, load};

use crate::support::{FULL, env, good};

#[test]
fn an_empty_file_is_a_mesh() {
    for text in ["", "# nothing\n", "{}", "---\n...\n"] {
        assert_eq!(good(text).gateway.listen.port(), 3003);
    }
    assert_eq!(Mesh::default().mesh, "mesh");
    assert_eq!(Mesh::default().storage.durability, Durability::Full);
    assert_eq!(Mesh::default().limits.body, 4 << 20);
    assert_eq!(Mesh::default().model, None);
}

#[test]
fn a_small_agent_gets_the_documented_defaults() {
    let mesh = good("agents: { a: { listen: 127.0.0.1:8090, worker: { command: [x] } } }");
    let agent = &mesh.agents["a"];
    assert_eq!(agent.url(), "http://127.0.0.1:8090");
    assert_eq!((agent.tasks.concurrency, agent.tasks.queue), (8, 1000));
    assert_eq!(agent.tasks.on_worker_loss, OnWorkerLoss::Retry(3));
    assert_eq!(agent.tasks.cancel_grace, Duration::from_secs(1));
    assert_eq!(agent.tasks.timeout, None);
    let week = Duration::from_secs(7 * 24 * 3600);
    let retention = &agent.tasks.retention;
    assert_eq!((retention.age, retention.count, retention.events), (None, None, Some(week)));
    assert_eq!(agent.tasks.remember_messages, Duration::from_secs(24 * 3600));
    assert_eq!(agent.worker.start_timeout, Duration::from_secs(60));
    assert_eq!(agent.worker.cwd, Path::new("/demo"));
    assert_eq!((&agent.card.input_modes, &agent.card.version, &agent.card.signing), (&None, &None, &None));
}

#[test]
fn everything_can_be_said() {
    let mesh = good(FULL);
    assert_eq!(mesh.mesh, "sales-demo");
    assert_eq!(mesh.storage.path, Path::new("/demo/.agentmesh"));
    assert_eq!(mesh.gateway.audit, Path::new("/demo/.agentmesh/audit.jsonl"));
    assert_eq!(mesh.gateway.call_timeout, Duration::from_secs(90));
    let model = mesh.model.unwrap();
    assert_eq!((&*model.base_url, &*model.name), ("http://127.0.0.1:9000/v1", "demo"));
    assert_eq!(model.key.unwrap().expose(), "sk-hidden");
    let Endpoint::Process { command, env, cwd } = &mesh.tools["crm"].endpoint else { panic!() };
    assert_eq!((command.len(), env["K"].expose(), cwd.as_path()), (2, "V", Path::new("/demo")));
    let Endpoint::Http { headers, .. } = &mesh.tools["analytics"].endpoint else { panic!() };
    assert_eq!(headers["authorization"].expose(), "Bearer hidden");
    let sales = &mesh.agents["sales"];
    let Launch::Python { entry, venv } = &sales.worker.launch else { panic!() };
    assert_eq!((&**entry, venv.as_deref()), ("sales:crew", Some(Path::new("/demo/../../.envs/crewai"))));
    assert_eq!(sales.card.version.as_deref(), Some("1.10"));
    let extension = &sales.card.extensions[0];
    assert_eq!((&*extension.uri, extension.required), ("https://example.com/geo/v1", true));
    let params = serde_json::json!({ "unit": "km", "deep": [1, 2.5, true, "3", null] });
    assert_eq!(extension.params.as_ref(), params.as_object());
    let signing = sales.card.signing.as_ref().unwrap();
    assert_eq!(
        (signing.key.as_ref().unwrap().expose(), signing.kid.as_deref()),
        ("Bearer hidden", Some("one"))
    );
    assert_eq!(sales.tasks.concurrency, 8);
    assert!(sales.tools[0].matches("crm", "get_customer") && !sales.tools[0].matches("crm", "other"));
    assert!(sales.tools[1].matches("analytics", "anything") && !sales.tools[1].matches("crm", "anything"));
    assert_eq!(mesh.agents["marketing"].tasks.on_worker_loss, OnWorkerLoss::Fail);
    assert_eq!(mesh.telemetry.log, LogFormat::Json);
}

#[test]
fn what_is_written_out_reads_back_the_same() {
    let text = FULL.replace(r#"headers: { Authorization: "${TOKEN}", x-team: sales }"#, "tags: [costs 3$]");
    let text = text
        .replace(r#", key: "${MODEL_KEY:-}""#, "")
        .replace(r#"signing: { key: "${TOKEN}""#, "signing: { key_file: k.pem")
        .replace("env: { K: V }", "")
        .replace("env: { A: \"1\" }", "");
    let mesh = good(&text);
    let written = serde_json::to_string_pretty(&mesh).unwrap();
    assert_eq!(good(&written), mesh);
    let written = serde_json::to_string(&Mesh::default()).unwrap();
    assert_eq!(good(&written).limits, Mesh::default().limits);
}

#[test]
fn secrets_are_never_written_out() {
    let mesh = good(FULL);
    let shown = format!("{mesh:?} {}", serde_json::to_string(&mesh).unwrap());
    assert!(!shown.contains("sk-hidden") && !shown.contains("Bearer hidden"), "{shown}");
    assert!(shown.contains(r#""key":"***""#));
}

#[test]
fn a_mesh_without_model_has_none() {
    assert_eq!(good("model: { base_url: \"${NOT_THERE:-}\", name: x }").model, None);
    assert_eq!(good("model: { base_url: '' }").model, None);
    assert_eq!(good("model:").model, None);
}

#[test]
fn a_file_is_read_with_paths_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mesh.yaml");
    std::fs::write(&file, "storage: ./state\n").unwrap();
    let mesh = load(&file, &LoadOptions::new(&env)).unwrap();
    assert_eq!(mesh.storage.path, folder.path().join("state"));
}

#[test]
fn tasks_are_kept_in_nats_and_the_audit_in_a_directory() {
    let storage = good("storage: \"nats://a:4222,tls://b\"").storage;
    assert_eq!(storage.nats.as_deref(), Some("nats://a:4222,tls://b"));
    assert_eq!((storage.path.as_path(), storage.replicas), (Path::new("/demo/.agentmesh"), 1));
    let storage = good("storage: { nats: \"nats://a\", path: here, replicas: 3 }").storage;
    assert_eq!((storage.path.as_path(), storage.replicas), (Path::new("/demo/here"), 3));
    assert_eq!(good("").storage.nats, None);
}

#[test]
fn a_file_that_cannot_be_read_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let missing = load(&folder.path().join("none.yaml"), &LoadOptions::new(&env)).unwrap_err().to_string();
    assert!(missing.starts_with("error: cannot open the file: No such file"), "{missing}");
    let file = folder.path().join("mesh.yaml");
    std::fs::write(&file, [b'm', 0xff]).unwrap();
    let report = load(&file, &LoadOptions::new(&env)).unwrap_err().to_string();
    assert!(report.contains("not UTF-8 text (after 1 bytes)"), "{report}");
    std::fs::write(&file, " ".repeat(mesh_config::MAX_FILE_BYTES + 1)).unwrap();
    let report = load(&file, &LoadOptions::new(&env)).unwrap_err().to_string();
    assert!(report.contains("larger than 1048576 bytes"), "{report}");
}

#[test]
fn each_bound_of_retention_can_be_set_or_given_up() {
    let retention = |text: &str| {
        let mesh = good(&format!(
            "agents: {{ a: {{ listen: 127.0.0.1:8090, worker: {{ command: [x] }}, tasks: {{ retention: {text} }} }} }}"
        ));
        let rendered = serde_json::to_value(&mesh).unwrap()["agents"]["a"]["tasks"]["retention"].clone();
        (mesh.agents["a"].tasks.retention.clone(), rendered.to_string())
    };
    let days = |days: u64| Some(Duration::from_secs(days * 24 * 3600));
    let (set, rendered) = retention("{ age: 30d, count: 0, events: 0s }");
    assert_eq!((set.age, set.count, set.events), (days(30), Some(0), days(0)));
    assert_eq!(rendered, r#"{"age":"30d","count":0,"events":"0s"}"#);
    let (given_up, rendered) = retention("{ age: forever, count: forever, events: forever }");
    assert_eq!((given_up.age, given_up.count, given_up.events), (None, None, None));
    assert_eq!(rendered, r#"{"age":"forever","count":"forever","events":"forever"}"#);
}
