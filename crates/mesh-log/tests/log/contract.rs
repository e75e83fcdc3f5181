//! The promises of [`EventLog`], one test per sentence, for every provider.

mod listing;
mod records;
mod tail;
mod trimming;
mod writing;

use crate::jetstream::Server;
use mesh_log::{EventLog, JetStreamLog, JetStreamOptions, MemoryLog, SqliteLog, SqliteOptions, TailCache};
use std::sync::Arc;
use tempfile::TempDir;

/// A log of its own for each test.
pub(crate) struct Store {
    pub(crate) log: Arc<dyn EventLog>,
    _behind: Behind,
}

/// What a log needs as long as it is used.
enum Behind {
    Nothing,
    Directory(#[allow(dead_code)] TempDir),
    Server(#[allow(dead_code)] Server),
}

fn in_memory() -> Store {
    Store { log: Arc::new(MemoryLog::new()), _behind: Behind::Nothing }
}

fn in_sqlite(options: SqliteOptions) -> Store {
    let directory = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(&directory.path().join("tasks.db"), options).unwrap();
    Store { log: Arc::new(log), _behind: Behind::Directory(directory) }
}

async fn in_jetstream(change: impl FnOnce(&mut JetStreamOptions)) -> Store {
    let server = Server::start();
    let mut options = JetStreamOptions::new(server.url());
    change(&mut options);
    let log = JetStreamLog::open(options).await.unwrap();
    Store { log: Arc::new(log), _behind: Behind::Server(server) }
}

/// Every event is read from the server, and every position is searched for.
fn without_rings(options: &mut JetStreamOptions) {
    options.tail_cache = TailCache { task_events: 0, task_bytes: 0, total_bytes: 0 };
    options.positions = 1;
}

/// Every event is read from the file, every place is looked up, and nearly every append is a commit of its own.
fn without_memory() -> SqliteOptions {
    SqliteOptions {
        batch: 2,
        readers: 1,
        known_tasks: 1,
        in_row: 0,
        tail_cache: TailCache { task_events: 0, task_bytes: 0, total_bytes: 0 },
        ..SqliteOptions::default()
    }
}

macro_rules! promises {
    ($($module:ident: $($test:ident),+;)+) => {
        promises!(@provider memory, super::in_memory(), $($module: $($test),+;)+);
        promises!(@provider sqlite, super::in_sqlite(Default::default()), $($module: $($test),+;)+);
        promises!(@provider sqlite_without_memory, super::in_sqlite(super::without_memory()),
            $($module: $($test),+;)+);
        promises!(@provider jetstream, super::in_jetstream(|_| {}).await, $($module: $($test),+;)+);
        promises!(@provider jetstream_without_rings, super::in_jetstream(super::without_rings).await,
            $($module: $($test),+;)+);
    };
    (@provider $provider:ident, $store:expr, $($module:ident: $($test:ident),+;)+) => {
        mod $provider {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let store = $store;
                    super::$module::$test(std::sync::Arc::clone(&store.log)).await;
                }
            )+)+
        }
    };
}

promises! {
    writing:
        events_are_numbered_from_one_without_a_gap,
        events_come_back_byte_for_byte,
        an_append_that_expects_another_number_conflicts_and_changes_nothing,
        of_many_appends_with_the_same_expected_number_one_succeeds,
        concurrent_appends_to_many_tasks_leave_each_without_a_gap,
        the_head_and_the_events_of_an_append_are_seen_together,
        an_append_without_events_changes_only_the_head,
        a_task_begins_with_an_event,
        a_message_creates_one_task_per_tenant_owner_and_agent,
        a_message_sent_many_times_at_once_creates_one_task,
        two_tenants_with_the_same_task_id_share_nothing,
        after_close_everything_accepted_is_written_and_nothing_more_is_taken;
    tail:
        every_read_after_an_append_sees_it,
        reading_can_begin_at_any_number,
        a_read_keeps_its_limits_but_returns_at_least_one_event,
        who_does_not_want_some_events_gets_their_numbers_and_not_their_content,
        a_tail_shows_the_last_number_and_grows_with_it,
        the_tail_of_a_task_to_come_is_zero_until_it_comes,
        a_tail_never_runs_ahead_of_read,
        followers_that_join_at_any_time_get_every_event_once_and_in_order,
        a_slow_reader_gets_ten_thousand_events_in_order,
        followers_are_told_when_the_log_closes;
    listing:
        a_listing_is_ordered_by_status_time_and_then_by_id,
        every_filter_narrows_a_listing,
        pages_of_equal_times_neither_repeat_nor_miss_a_task,
        a_task_that_moves_between_two_pages_disturbs_no_other,
        unfinished_tasks_are_paged_oldest_first_over_all_tenants;
    trimming:
        a_trimmed_task_has_its_snapshot_and_says_where_it_begins,
        a_trimmed_task_takes_no_more_events,
        a_removed_task_is_as_one_that_never_was,
        a_message_of_a_removed_task_can_create_again,
        only_ended_tasks_at_the_named_event_are_trimmed,
        a_large_task_is_trimmed_in_one_step_and_its_room_is_given_back,
        of_many_who_trim_a_task_one_does,
        who_reads_while_a_task_is_trimmed_gets_its_events_or_is_told,
        ended_tasks_are_listed_in_the_order_in_which_they_ended,
        all_but_the_newest_ended_tasks_are_listed;
    records:
        a_record_is_changed_only_by_who_knows_its_version,
        a_version_never_comes_back_also_after_a_deletion,
        of_many_writers_that_expect_the_same_one_succeeds,
        records_are_listed_by_tenant_and_name_in_pages,
        names_and_values_have_a_longest_size,
        a_change_is_heard_in_its_space,
        the_queue_has_what_waits_longest_first_and_is_counted;
}
