//! What every driver of this machine promises, as one suite: each test is a function over a [`world::World`], and runs once for every
//! kind of world that promises it, under the names `process::…`, `container::…`, `forked::…`, `rootless::…`, and with an image `image::…` and
//! `rootless_image::…`.

pub(crate) mod agent;
pub(crate) mod ending;
pub(crate) mod files;
pub(crate) mod forked;
pub(crate) mod identity;
pub(crate) mod images;
pub(crate) mod intruder;
pub(crate) mod limits;
pub(crate) mod ordinary;
pub(crate) mod programs;
pub(crate) mod recovery;
pub(crate) mod remains;
pub(crate) mod separation;
pub(crate) mod starting;
pub(crate) mod table;
pub(crate) mod world;

/// Makes a test of each function, in a world of one kind.
macro_rules! suite {
    ($kind:ident: $($group:ident::{$($test:ident),+ $(,)?})+) => { $($(
        #[tokio::test]
        async fn $test() {
            use $crate::conformance::world::{Kind, World};
            let name = concat!(module_path!(), "::", stringify!($test));
            if let Some(world) = World::enter(Kind::$kind, name).await {
                $crate::conformance::$group::$test(world).await;
            }
        }
    )+)+ };
}

/// What is true of all.
macro_rules! every_kind {
    ($kind:ident) => {
        $crate::conformance::suite! { $kind:
            starting::{
                two_agents_on_one_port_answer_for_themselves_and_only_on_loopback,
                every_way_to_bind_the_port_leads_to_the_agent,
                another_port_of_the_agents_is_reached_by_its_number,
                an_agent_that_ends_at_import_is_told_at_once_with_its_last_words,
                an_agent_that_binds_another_port_is_not_ready_and_told_which,
                an_agent_without_ping_is_named_and_accepted_by_tcp,
                an_agent_that_has_its_port_is_told_before_it_is_healthy,
                changes_of_health_and_misses_are_told,
                an_agent_inherits_its_environment_three_descriptors_and_nothing_else,
                what_cannot_be_started_is_refused_in_words_and_leaves_nothing,
            }
            ending::{
                kill_leaves_no_process_whatever_the_agent_started,
                a_kill_that_waits_for_its_grace_is_hastened_by_one_without,
                sigterm_gives_an_agent_the_chance_to_end_itself,
                sigterm_of_a_sidecar_reaches_its_agent_and_the_agent_s_end_is_told,
                a_sandbox_ends_by_itself_at_its_deadline_or_without_its_directory,
                the_sidecar_is_no_child_of_the_server_and_ends_with_its_agent,
                orphans_are_reaped_while_the_agent_lives,
            }
            programs::{
                a_program_has_what_the_agent_has_and_three_descriptors,
                what_a_program_reads_and_writes_passes,
                a_program_ends_with_all_that_it_started,
                what_a_program_leaves_may_finish_its_words,
                programs_end_with_their_sandbox,
                a_program_dies_with_the_sidecar,
                what_cannot_be_run_is_refused_in_words,
                many_programs_run_at_once_and_too_many_are_refused,
                a_program_has_a_terminal_of_its_own,
            }
            recovery::{
                an_agent_and_all_that_it_started_die_with_their_sidecar,
                without_a_server_a_sandbox_ends_at_its_deadline_and_leaves_the_facts_to_the_next,
                a_later_driver_adopts_what_lives_and_removes_what_does_not,
                a_start_that_a_server_leaves_in_the_lurch_leaves_nothing,
                a_start_whose_launcher_or_sidecar_is_killed_at_any_moment_leaves_nothing,
            }
        }
    };
}

/// What is true of those that have walls, whatever stands upon them.
macro_rules! walled {
    ($kind:ident) => {
        $crate::conformance::suite! { $kind:
            identity::{
                an_agent_is_its_user_without_any_power,
                the_sidecar_is_pid_1_and_out_of_reach,
                an_agent_sees_no_process_but_its_own,
            }
            files::{
                mounts_tell_nothing_of_the_hosts_directories,
                the_private_layer_holds_so_many_bytes,
                the_private_layer_holds_so_many_files,
            }
            separation::{
                sandboxes_do_not_share_files_or_names,
                sandboxes_do_not_see_or_signal_each_others_processes,
                sandboxes_do_not_reach_each_others_or_the_hosts_sockets,
            }
            limits::{
                out_of_memory_is_told_and_only_then,
                processes_are_limited,
                open_files_are_limited,
                watches_of_files_are_limited,
                usage_is_what_is_counted,
            }
            programs::{
                a_program_is_filtered_like_the_agent,
                an_agent_reaches_no_warden,
            }
            ending::{
                a_sandbox_leaves_no_process_mount_group_or_directory,
            }
        }
    };
}

/// What is true of code alone.
macro_rules! with_code {
    ($kind:ident) => {
        $crate::conformance::suite! { $kind:
            identity::{
                an_agent_finds_itself_where_it_was_promised,
            }
            files::{
                what_is_not_the_agents_cannot_be_written,
                what_is_the_agents_can_be_written,
                the_code_on_the_host_is_not_what_the_agent_changes,
                the_codes_own_directories_can_be_written,
            }
        }
    };
}

/// What is true of images alone.
macro_rules! with_image {
    ($kind:ident) => {
        $crate::conformance::suite! { $kind:
            images::{
                layers_hide_what_they_say_and_are_not_changed,
                a_hundred_layers_are_one_root,
                files_are_of_whom_the_image_says,
                the_agent_is_whom_the_image_names_where_it_says,
                a_working_directory_is_made_where_it_is_missing,
                a_static_program_needs_nothing_else,
                what_an_image_lacks_is_told_in_words,
                what_is_ours_in_an_image_is_not_the_images,
            }
            intruder::{
                root_in_an_image_gains_no_power,
                root_in_an_image_does_not_reach_the_sidecar,
                root_in_an_image_writes_no_switch_and_makes_no_device,
                links_in_an_image_lead_nowhere_else,
                programs_and_interpreters_of_an_image_come_from_it,
            }
        }
    };
}

pub(crate) use {every_kind, suite, walled, with_code, with_image};
