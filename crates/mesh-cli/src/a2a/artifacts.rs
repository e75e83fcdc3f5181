//! The artifacts of a task, put together from its events.

use super::{Event, Kind};
use serde_json::Value;

/// The artifacts so far, in the order in which they appeared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Artifacts {
    all: Vec<Value>,
}

impl Artifacts {
    /// Takes an event in.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event.kind() {
            Kind::Task(task) => {
                self.all = task["artifacts"].as_array().cloned().unwrap_or_default();
            }
            Kind::Artifact(update) => self.update(update),
            Kind::Message(_) | Kind::Status(_) | Kind::Unknown => {}
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Value] {
        &self.all
    }

    fn update(&mut self, update: &Value) {
        let artifact = &update["artifact"];
        let known = self.all.iter_mut().find(|known| known["artifactId"] == artifact["artifactId"]);
        match known {
            None => self.all.push(artifact.clone()),
            Some(known) if update["append"].as_bool() == Some(true) => {
                if let (Some(parts), Some(more)) =
                    (known["parts"].as_array_mut(), artifact["parts"].as_array())
                {
                    parts.extend(more.iter().cloned());
                }
            }
            Some(known) => *known = artifact.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::a2a::view;
    use serde_json::json;

    fn update(id: &str, text: &str, append: bool) -> Event {
        let artifact = json!({"artifactId": id, "parts": [{"text": text}]});
        Event::new(None, json!({"artifactUpdate": {"artifact": artifact, "append": append}}))
    }

    #[test]
    fn chunks_are_appended_replacements_replace_and_a_snapshot_starts_over() {
        let mut artifacts = Artifacts::default();
        for event in [update("a", "1", true), update("b", "x", false), update("a", "2", true)] {
            artifacts.apply(&event);
        }
        let texts = |artifacts: &Artifacts| artifacts.all().iter().map(view::text).collect::<Vec<_>>();
        assert_eq!(texts(&artifacts), ["12", "x"]);
        artifacts.apply(&update("a", "new", false));
        assert_eq!(texts(&artifacts), ["new", "x"]);
        artifacts
            .apply(&Event::new(None, json!({"task": {"artifacts": [{"artifactId": "c", "parts": []}]}})));
        assert_eq!(texts(&artifacts), [""]);
    }
}
