use crate::support::{PATIENCE, Served, read, request};
use a2a_pb::proto as pb;
use a2a_pb::proto::a2a_service_client::A2aServiceClient;
use http_body_util::BodyExt as _;
use mesh_net::Limits;
use pb::TaskState;
use pb::stream_response::Payload;
use proptest::prelude::{Strategy as _, any};
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use proptest::{collection, prop_oneof};
use prost::Message as _;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt as _;

/// A host behind its listener, and a channel to it.
struct Server {
    served: Served,
    channel: Channel,
    shutdown: CancellationToken,
}

impl Server {
    async fn start() -> Self {
        Self::of(Served::start().await).await
    }

    async fn of(served: Served) -> Self {
        let listener = mesh_net::bind("127.0.0.1:0".parse().unwrap(), "test").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let limits = Limits { connections: 8, header_timeout: Duration::from_secs(5), gauge: None };
        let router = served.router.clone();
        tokio::spawn(mesh_net::serve(listener, router, limits, shutdown.clone(), Duration::ZERO));
        let channel = Channel::from_shared(format!("http://{address}")).unwrap().timeout(PATIENCE);
        Self { served, channel: channel.connect().await.unwrap(), shutdown }
    }

    fn client(&self) -> A2aServiceClient<InterceptedService<Channel, Version>> {
        A2aServiceClient::with_interceptor(self.channel.clone(), say_version as Version)
    }

    async fn stop(self) {
        self.served.stop().await;
        self.shutdown.cancel();
    }
}

type Version = fn(Request<()>) -> Result<Request<()>, Status>;

/// Says that the client speaks 1.0, where the request says nothing else.
fn say_version(mut request: Request<()>) -> Result<Request<()>, Status> {
    if !request.metadata().contains_key("a2a-version") {
        request.metadata_mut().insert("a2a-version", "1.0".parse().unwrap());
    }
    Ok(request)
}

fn send(text: &str) -> pb::SendMessageRequest {
    let part = pb::Part { content: Some(pb::part::Content::Text(text.to_owned())), ..Default::default() };
    pb::SendMessageRequest {
        message: Some(pb::Message {
            message_id: mesh_core::MessageId::generate().to_string(),
            role: pb::Role::User.into(),
            parts: vec![part],
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn task(answer: pb::SendMessageResponse) -> pb::Task {
    match answer.payload {
        Some(pb::send_message_response::Payload::Task(task)) => task,
        other => panic!("no task: {other:?}"),
    }
}

fn state(task: &pb::Task) -> TaskState {
    task.status.as_ref().unwrap().state()
}

async fn rest(mut stream: tonic::Streaming<pb::StreamResponse>) -> Vec<Payload> {
    let mut events = Vec::new();
    while let Some(event) = stream.message().await.unwrap() {
        events.push(event.payload.unwrap());
    }
    events
}

fn reason(status: &Status) -> String {
    let info = status.get_details_error_info().expect("ErrorInfo");
    assert_eq!(info.domain, "a2a-protocol.org");
    info.reason
}

#[tokio::test]
async fn a_message_is_sent_its_task_read_and_listed() {
    let server = Server::start().await;
    let mut client = server.client();
    let sent = task(client.send_message(send("hello")).await.unwrap().into_inner());
    assert_eq!(state(&sent), TaskState::Completed);
    let parts: Vec<_> = sent.artifacts[0].parts.iter().map(|part| part.content.clone().unwrap()).collect();
    assert_eq!(parts[0], pb::part::Content::Text("one, ".to_owned()));
    assert_eq!(parts[2], pb::part::Content::Raw(b"hi".to_vec()));
    let get = pb::GetTaskRequest { id: sent.id.clone(), ..Default::default() };
    assert_eq!(client.get_task(get.clone()).await.unwrap().into_inner(), sent);
    let short = client.get_task(pb::GetTaskRequest { history_length: Some(0), ..get }).await.unwrap();
    assert!(short.into_inner().history.is_empty());
    let all = pb::ListTasksRequest {
        status: TaskState::Completed.into(),
        include_artifacts: Some(true),
        ..Default::default()
    };
    let page = client.list_tasks(all).await.unwrap().into_inner();
    assert_eq!((page.total_size, page.page_size, page.tasks), (1, 50, vec![sent.clone()]));
    // The same task by another binding.
    let (_, json) = server.served.get(&format!("/tasks/{}", sent.id)).await;
    assert_eq!(json["contextId"], sent.context_id.as_str());
    server.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_the_task_and_goes_on_after_any_event() {
    let server = Server::start().await;
    let mut client = server.client();
    let all = rest(client.send_streaming_message(send("hello")).await.unwrap().into_inner()).await;
    let Payload::Task(first) = &all[0] else { panic!("{all:?}") };
    let Some(Payload::StatusUpdate(last)) = all.last() else { panic!("{all:?}") };
    assert_eq!(last.status.as_ref().unwrap().state(), TaskState::Completed);
    let mut resume = Request::new(pb::SubscribeToTaskRequest { id: first.id.clone(), ..Default::default() });
    let ended = client.subscribe_to_task(resume.get_ref().clone()).await.unwrap_err();
    assert_eq!(
        (ended.code(), reason(&ended)),
        (Code::FailedPrecondition, "UNSUPPORTED_OPERATION".to_owned())
    );
    resume.metadata_mut().insert("last-event-id", "2".parse().unwrap());
    assert_eq!(rest(client.subscribe_to_task(resume).await.unwrap().into_inner()).await, all[2..]);
    server.stop().await;
}

#[tokio::test]
async fn a_running_task_can_be_tapped_and_canceled_once() {
    let server = Server::start().await;
    let mut client = server.client();
    let mut begin = send("wait");
    begin.configuration =
        Some(pb::SendMessageConfiguration { return_immediately: true, ..Default::default() });
    let id = task(client.send_message(begin).await.unwrap().into_inner()).id;
    let tap = client.subscribe_to_task(pb::SubscribeToTaskRequest { id: id.clone(), ..Default::default() });
    let tap = tap.await.unwrap().into_inner();
    let cancel = pb::CancelTaskRequest { id, ..Default::default() };
    assert_eq!(state(&client.cancel_task(cancel.clone()).await.unwrap().into_inner()), TaskState::Canceled);
    assert!(matches!(rest(tap).await.last(), Some(Payload::StatusUpdate(_))));
    let again = client.cancel_task(cancel).await.unwrap_err();
    assert_eq!((again.code(), reason(&again)), (Code::FailedPrecondition, "TASK_NOT_CANCELABLE".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn events_carry_their_numbers_if_and_only_if_the_client_asks_for_them() {
    let server = Server::start().await;
    let mut client = server.client();
    let number = |event: &Payload| {
        let metadata = match event {
            Payload::Task(task) => &task.metadata,
            Payload::Message(message) => &message.metadata,
            Payload::StatusUpdate(update) => &update.metadata,
            Payload::ArtifactUpdate(update) => &update.metadata,
        };
        let ours = metadata.as_ref()?.fields.get(mesh_host::EVENT_LOG_EXTENSION)?.kind.clone()?;
        let prost_types::value::Kind::StructValue(fields) = ours else { panic!("{ours:?}") };
        match fields.fields["event"].kind {
            Some(prost_types::value::Kind::NumberValue(number)) => Some(number as u64),
            _ => None,
        }
    };
    let plain = client.send_streaming_message(send("hello")).await.unwrap();
    assert_eq!(plain.metadata().get("a2a-extensions"), None);
    assert!(rest(plain.into_inner()).await.iter().all(|event| number(event).is_none()));
    let mut asking = Request::new(send("hello"));
    asking.metadata_mut().insert("a2a-extensions", mesh_host::EVENT_LOG_EXTENSION.parse().unwrap());
    let numbered = client.send_streaming_message(asking).await.unwrap();
    assert_eq!(numbered.metadata().get("a2a-extensions").unwrap(), mesh_host::EVENT_LOG_EXTENSION);
    let events = rest(numbered.into_inner()).await;
    let numbers: Vec<_> = events.iter().map(number).collect();
    assert_eq!(numbers, (1..=events.len() as u64).map(Some).collect::<Vec<_>>());
    server.stop().await;
}

#[tokio::test]
async fn an_extended_card_is_told_with_its_signature() {
    let (key, pem) = mesh_card::PrivateKey::generate(mesh_card::Algorithm::EdDsa).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("card.pem");
    std::fs::write(&file, pem).unwrap();
    let card =
        format!("    card: {{ signing: {{ key_file: {file:?} }}, extended: {{ description: More }} }}\n");
    let server = Server::of(Served::with(&card).await).await;
    let mut client = server.client();
    let told = client.get_extended_agent_card(pb::GetExtendedAgentCardRequest::default()).await.unwrap();
    let told = told.into_inner();
    assert_eq!((&*told.description, told.signatures.len()), ("More", 1));
    // What came over gRPC is, read as JSON, the card that was signed.
    let json = serde_json::to_value(a2a_pb::pbconv::from_proto_agent_card(&told)).unwrap();
    let claimed = mesh_card::signatures(&json)[0].clone().unwrap();
    let public = mesh_card::PublicKey::Jwk(key.public());
    assert!(mesh_card::verify(&json, &claimed, &public).is_ok());
    let elsewhere = pb::GetExtendedAgentCardRequest { tenant: "other".to_owned() };
    assert_eq!(client.get_extended_agent_card(elsewhere).await.unwrap_err().code(), Code::InvalidArgument);
    server.stop().await;
}

#[tokio::test]
async fn messages_may_be_compressed_and_large_answers_are() {
    let server = Server::of(Served::with("limits: { body: 64KiB }\n").await).await;
    let mut client = server.client().send_compressed(Gzip).accept_compressed(Gzip);
    let text = "x".repeat(20_000);
    let sent = task(client.send_message(send(&text)).await.unwrap().into_inner());
    assert_eq!(state(&sent), TaskState::Completed);
    let events = rest(client.send_streaming_message(send("hello")).await.unwrap().into_inner()).await;
    assert!(matches!(events.last(), Some(Payload::StatusUpdate(_))));
    let bomb = client.send_message(send(&"x".repeat(8 << 20))).await.unwrap_err();
    assert!(
        matches!(bomb.code(), Code::ResourceExhausted | Code::OutOfRange | Code::InvalidArgument),
        "{bomb}"
    );
    let small = task(client.send_message(send("hello")).await.unwrap().into_inner());
    for (id, flag) in [(&sent.id, 1), (&small.id, 0)] {
        let get = pb::GetTaskRequest { id: id.clone(), ..Default::default() };
        let mut request = request("POST", "/lf.a2a.v1.A2AService/GetTask", "");
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        request.headers_mut().insert("grpc-accept-encoding", "gzip".parse().unwrap());
        *request.body_mut() = frame(&get.encode_to_vec()).into();
        let body = server.served.call(request).await.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body[0], flag, "{} bytes", body.len());
    }
    server.stop().await;
}

#[tokio::test]
async fn push_configurations_are_created_read_listed_and_deleted() {
    let server = Server::start().await;
    let mut client = server.client();
    let task_id = task(client.send_message(send("ask")).await.unwrap().into_inner()).id;
    let config = pb::TaskPushNotificationConfig {
        id: "a".to_owned(),
        task_id: task_id.clone(),
        url: "http://127.0.0.1:1/".to_owned(),
        token: "t".to_owned(),
        authentication: Some(pb::AuthenticationInfo {
            scheme: "Basic".to_owned(),
            credentials: "c".to_owned(),
        }),
        ..Default::default()
    };
    let created = client.create_task_push_notification_config(config.clone()).await.unwrap().into_inner();
    assert_eq!(created, config);
    let one = pb::GetTaskPushNotificationConfigRequest {
        task_id: task_id.clone(),
        id: "a".to_owned(),
        ..Default::default()
    };
    assert_eq!(client.get_task_push_notification_config(one.clone()).await.unwrap().into_inner(), config);
    let all = pb::ListTaskPushNotificationConfigsRequest { task_id: task_id.clone(), ..Default::default() };
    assert_eq!(client.list_task_push_notification_configs(all).await.unwrap().into_inner().configs, [config]);
    let gone =
        pb::DeleteTaskPushNotificationConfigRequest { task_id, id: "a".to_owned(), ..Default::default() };
    client.delete_task_push_notification_config(gone).await.unwrap();
    let error = client.get_task_push_notification_config(one).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    server.stop().await;
}

#[tokio::test]
async fn errors_have_the_specified_codes_and_details() {
    let server = Server::start().await;
    let mut client = server.client();
    let nobody = pb::GetTaskRequest { id: "nobody".to_owned(), ..Default::default() };
    let error = client.get_task(nobody.clone()).await.unwrap_err();
    assert_eq!((error.code(), reason(&error)), (Code::NotFound, "TASK_NOT_FOUND".to_owned()));
    let config = pb::TaskPushNotificationConfig { url: "https://10.0.0.1/".to_owned(), ..Default::default() };
    let error = client.create_task_push_notification_config(config).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let error = client.get_extended_agent_card(pb::GetExtendedAgentCardRequest::default()).await.unwrap_err();
    assert_eq!(reason(&error), "UNSUPPORTED_OPERATION");
    for version in ["99.0", "0.3", ""] {
        let mut other = Request::new(nobody.clone());
        other.metadata_mut().insert("a2a-version", version.parse().unwrap());
        let error = client.get_task(other).await.unwrap_err();
        assert_eq!(
            (error.code(), reason(&error)),
            (Code::FailedPrecondition, "VERSION_NOT_SUPPORTED".to_owned())
        );
    }
    let silent = A2aServiceClient::new(server.channel.clone()).get_task(nobody).await.unwrap_err();
    assert_eq!(reason(&silent), "VERSION_NOT_SUPPORTED");
    let error = client.send_message(pb::SendMessageRequest::default()).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let violations = error.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations[0].field, "message");
    let elsewhere = pb::ListTasksRequest { tenant: "other".to_owned(), ..Default::default() };
    assert_eq!(client.list_tasks(elsewhere).await.unwrap().into_inner().total_size, 0);
    server.stop().await;
}

/// A gRPC frame around bytes.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    frame.extend(bytes);
    frame
}

#[tokio::test]
async fn what_cannot_be_decoded_is_the_clients_fault() {
    let served = Served::start().await;
    let deep = (0..200).fold(Vec::new(), |inner: Vec<u8>, _| {
        let mut outer = vec![0x32];
        prost::encode_length_delimiter(inner.len(), &mut outer).unwrap();
        outer.extend(inner);
        outer
    });
    let mut torn = frame(&send("x").encode_to_vec());
    torn.truncate(9);
    for (body, codes) in [
        (frame(b"\xff\xff\xff"), &["3"][..]),
        (frame(&deep), &["3"]),
        (frame(b"\x0a\x02\xff\xff"), &["3"]),
        (Vec::new(), &["3"]),
        (torn, &["3"]),
        (vec![0, 255, 255, 255, 255], &["3", "8", "11"]),
        (vec![1, 0, 0, 0, 0], &["3", "12"]),
        (vec![9; 64], &["3"]),
    ] {
        let mut request = request("POST", "/lf.a2a.v1.A2AService/SendMessage", "");
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        *request.body_mut() = body.clone().into();
        let response = served.call(request).await;
        let status = response.headers().get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
        assert!(status.as_deref().is_some_and(|status| codes.contains(&status)), "{body:?}: {status:?}");
    }
    let plain = served.call(request("POST", "/lf.a2a.v1.A2AService/SendMessage", "{}")).await;
    assert_eq!(plain.status(), 415);
    let (status, _) = read(served.call(request("GET", "/lf.a2a.v1.A2AService/SendMessage", "")).await).await;
    assert_eq!(status, 405);
    served.stop().await;
}

/// Anything at all is answered with a status that blames nobody but the client, and the host lives on.
#[tokio::test]
async fn garbage_is_refused() {
    let served = Served::start().await;
    let good = send("hello").encode_to_vec();
    let garbage = prop_oneof![
        collection::vec(any::<u8>(), 0..64).prop_map(|bytes| frame(&bytes)),
        (0..good.len(), any::<u8>()).prop_map(move |(at, byte)| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            frame(&bytes)
        }),
        collection::vec(any::<u8>(), 0..64),
    ];
    let methods =
        ["SendMessage", "SendStreamingMessage", "GetTask", "ListTasks", "CancelTask", "SubscribeToTask", "X"];
    let cases = (select(methods.to_vec()), garbage);
    let mut runner = TestRunner::deterministic();
    for _ in 0..500 {
        let (method, body) = cases.new_tree(&mut runner).unwrap().current();
        let mut request = request("POST", &format!("/lf.a2a.v1.A2AService/{method}"), "");
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        *request.body_mut() = body.clone().into();
        let response = served.call(request).await;
        assert_eq!(response.status(), 200);
        let status = response.headers().get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
        assert!(!["2", "13"].map(Some).contains(&status.as_deref()), "{method} {body:?}: {status:?}");
    }
    served.stop().await;
}

#[tokio::test]
async fn reflection_tells_of_every_service_and_method() {
    let server = Server::start().await;
    let mut client = ServerReflectionClient::new(server.channel.clone());
    let mut ask = async |message: MessageRequest| {
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(message) };
        let answers = client.server_reflection_info(futures_util::stream::iter([request])).await.unwrap();
        answers.into_inner().message().await.unwrap().unwrap().message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(list) = ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list");
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for service in ["lf.a2a.v1.A2AService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
        assert!(names.iter().any(|name| name == service), "{names:?}");
    }
    let symbol = MessageRequest::FileContainingSymbol("lf.a2a.v1.A2AService".to_owned());
    let MessageResponse::FileDescriptorResponse(files) = ask(symbol).await else { panic!("no file") };
    let file = prost_types::FileDescriptorProto::decode(&*files.file_descriptor_proto[0]).unwrap();
    // Each is there: an unknown method would be unimplemented.
    assert_eq!(file.service[0].method.len(), 11);
    for method in &file.service[0].method {
        let mut request = request("POST", &format!("/lf.a2a.v1.A2AService/{}", method.name()), "");
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        let response = server.served.call(request).await;
        assert_ne!(response.headers()["grpc-status"], "12", "{}", method.name());
    }
    server.stop().await;
}

#[tokio::test]
async fn health_is_readiness() {
    let server = Server::start().await;
    let mut client = HealthClient::new(server.channel.clone());
    for service in ["", "lf.a2a.v1.A2AService"] {
        let check = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(client.check(check).await.unwrap().into_inner().status, 1);
    }
    let other = HealthCheckRequest { service: "x".to_owned() };
    assert_eq!(client.check(other).await.unwrap_err().code(), Code::NotFound);
    let mut watch = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
    server.served.host.shutdown(Duration::ZERO).await;
    let _ = watch.message().await;
    server.shutdown.cancel();
}
