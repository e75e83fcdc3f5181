use crate::support::{
    NOT_FOUND, Receiver, card, code, configuration, connect, connect_with, message, out, send,
};
use a2a::{
    AuthenticationInfo, DeleteTaskPushNotificationConfigRequest, GetTaskPushNotificationConfigRequest,
    ListTaskPushNotificationConfigsRequest, SendMessageConfiguration, TaskPushNotificationConfig, error_code,
};
use a2a_client::A2AClientFactory;

fn config(task: &str, url: &str) -> TaskPushNotificationConfig {
    TaskPushNotificationConfig {
        url: url.to_owned(),
        id: Some("hook".to_owned()),
        task_id: task.to_owned(),
        token: Some("shared".to_owned()),
        authentication: Some(AuthenticationInfo {
            scheme: "Bearer".to_owned(),
            credentials: Some("secret".to_owned()),
        }),
        tenant: None,
    }
}

fn named(task: &str) -> GetTaskPushNotificationConfigRequest {
    GetTaskPushNotificationConfigRequest { task_id: task.to_owned(), id: "hook".to_owned(), tenant: None }
}

fn every(task: &str) -> ListTaskPushNotificationConfigsRequest {
    ListTaskPushNotificationConfigsRequest {
        task_id: task.to_owned(),
        page_size: None,
        page_token: None,
        tenant: None,
    }
}

fn gone(task: &str) -> DeleteTaskPushNotificationConfigRequest {
    DeleteTaskPushNotificationConfigRequest { task_id: task.to_owned(), id: "hook".to_owned(), tenant: None }
}

#[tokio::test]
async fn every_event_is_pushed_in_order() {
    let (client, receiver) = (connect().await, Receiver::start().await);
    let mut request = message("chunks 3");
    request.configuration = Some(SendMessageConfiguration {
        task_push_notification_config: Some(config("", &receiver.url)),
        ..configuration()
    });
    let task = send(&client, &request).await;
    let got =
        receiver.until(|event| event["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED").await;
    assert_eq!(got[0].1["task"]["id"], task.id.as_str());
    let pushed =
        got.iter().filter_map(|(_, event)| event["artifactUpdate"]["artifact"]["parts"][0]["text"].as_str());
    assert_eq!(pushed.collect::<Vec<_>>(), out(&task));
    for (head, _) in &got {
        assert!(head.contains("authorization: bearer secret\r\n"), "{head}");
        assert!(head.contains("x-a2a-notification-token: shared\r\n"), "{head}");
    }
}

#[tokio::test]
async fn configurations_are_created_read_listed_and_deleted() {
    let (client, receiver) = (connect().await, Receiver::start().await);
    let task = send(&client, &message("ask who?")).await.id;
    let config = config(&task, &receiver.url);
    assert_eq!(client.create_push_config(&config).await.unwrap(), config);
    assert_eq!(client.get_push_config(&named(&task)).await.unwrap(), config);
    assert_eq!(client.list_push_configs(&every(&task)).await.unwrap().configs, [config]);
    client.delete_push_config(&gone(&task)).await.unwrap();
    client.delete_push_config(&gone(&task)).await.unwrap();
    assert_eq!(code(client.get_push_config(&named(&task)).await), NOT_FOUND);
    assert!(client.list_push_configs(&every(&task)).await.unwrap().configs.is_empty());
}

#[tokio::test]
async fn where_there_are_none_they_are_refused() {
    let client = connect_with(&card(false).await, A2AClientFactory::builder()).await;
    let refused = error_code::PUSH_NOTIFICATION_NOT_SUPPORTED;
    assert_eq!(code(client.create_push_config(&config("x", "https://example.org/")).await), refused);
    assert_eq!(code(client.get_push_config(&named("x")).await), refused);
    assert_eq!(code(client.list_push_configs(&every("x")).await), refused);
    assert_eq!(code(client.delete_push_config(&gone("x")).await), refused);
}
