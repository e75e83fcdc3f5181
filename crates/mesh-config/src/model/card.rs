use crate::kinds::{List, NonEmpty, Opt, Text, Url};
use crate::section::{all_defaults, section};

section! {
    /// What an agent tells others about itself.
    pub struct Card {
        /// Name shown to people. The agent's id if left out.
        name: Option<String> as Opt<Text>,
        /// What the agent is for.
        description: String as Text = "''",
        /// Version of the agent.
        version: String as Text = "0.1.0",
        /// Who offers the agent.
        provider: Option<Provider> as Opt<Provider>,
        /// Where people read more.
        documentation_url: Option<String> as Opt<Url>,
        /// What the agent can do.
        skills: Vec<Skill> as List<Skill> = "[]",
        /// Media types that it takes.
        input_modes: Vec<String> as NonEmpty<Text> = "[text/plain]",
        /// Media types that it gives.
        output_modes: Vec<String> as NonEmpty<Text> = "[text/plain]",
    }
}

section! {
    /// Who offers an agent.
    pub struct Provider {
        /// Name of the organization.
        organization: String as Text,
        /// Its web site.
        url: String as Url,
    }
}

section! {
    /// One thing that an agent can do.
    pub struct Skill {
        /// Id of the skill.
        id: String as Text,
        /// Name shown to people. The id if left out.
        name: Option<String> as Opt<Text>,
        /// What it does.
        description: String as Text = "''",
        /// Words to find it by.
        tags: Vec<String> as List<Text> = "[]",
        /// Requests that it is made for.
        examples: Vec<String> as List<Text> = "[]",
        /// Media types that it takes; those of the card if empty.
        input_modes: Vec<String> as List<Text> = "[]",
        /// Media types that it gives; those of the card if empty.
        output_modes: Vec<String> as List<Text> = "[]",
    }
}

all_defaults!(Card);
