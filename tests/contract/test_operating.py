"""Every situation in the table of `docs/operating.md` has tests that show it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SHOWN_BY: dict[str, tuple[str, ...]] = {
    # both
    "429": (
        "contract/test_plugins_agree.py::test_the_same_429_is_waited_for_as_long",
        "contract/test_plugins_agree.py::test_a_429_that_names_no_wait_does_not_burn_all_tries_at_once",
        "faults/test_shared_waits.py::test_a_late_429_does_not_shorten_the_wait_of_the_target",
        "faults/test_attempts.py::test_a_429_is_retried_fifty_times_with_longer_and_longer_waits",
        "faults/test_target_situations.py::test_states_are_emitted_while_bulk_requests_are_limited",
        "faults/test_target_bulk.py::test_bulk_calls_wait_as_told_and_jobs_are_still_confirmed",
    ),
    "429 of type `api_calls_cycle`": (
        "contract/test_plugins_agree.py::test_the_same_refusal_is_told_in_the_same_words",
        "faults/test_shared_waits.py::test_an_error_in_one_thread_ends_the_waits_of_all",
        "faults/test_target_situations.py::test_a_used_up_cycle_acknowledges_what_is_confirmed",
    ),
    "5xx, cut connection, time-out": (
        "faults/test_attempts.py::test_a_failure_is_retried_for_about_a_minute",
        "faults/test_attempts.py::test_a_503_is_retried_when_the_server_asks",
        "faults/test_unreadable_404.py::test_it_is_retried",
        "faults/test_target_single.py::test_single_writing_loses_nothing",
        "faults/test_tap_customers.py::test_a_fault_that_passes_costs_a_call_and_no_row",
    ),
    "a character that is not valid Unicode": (
        "faults/test_broken_characters.py::test_every_stream_reads_past_a_broken_character",
        "faults/test_broken_characters.py::test_a_page_is_read_past_what_no_record_can_hold",
        "faults/test_broken_characters.py::test_a_job_is_judged_past_a_broken_character",
    ),
    "408, 423, 425": (
        "faults/test_target_odd_responses.py::test_a_request_that_came_too_soon_is_repeated",
        "faults/test_attempts.py::test_a_failure_is_retried_for_about_a_minute",
    ),
    "another 4xx without an error object": (
        "faults/test_target_odd_responses.py::test_what_a_proxy_answers_refuses_no_record",
        "faults/test_target_odd_responses.py::test_a_request_that_is_too_large_for_a_proxy_is_halved",
    ),
    "401": (
        "contract/test_plugins_agree.py::test_a_wrong_key_is_told_in_the_same_words",
        "faults/test_target_oauth.py::test_a_token_that_is_refused_twice_ends_the_run",
        "faults/test_tap_oauth.py::test_a_token_that_ends_early_is_replaced_and_no_row_is_lost",
    ),
    "402, 403": (
        "faults/test_tap_bad_input.py::test_an_answer_that_waiting_does_not_cure",
        "standard/test_tap_streams.py::test_a_stream_that_the_key_may_not_read_says_what_to_do",
        "faults/test_target_situations.py::test_a_metadata_schema_that_the_key_may_not_read_stops_no_run",
        "faults/test_tap_situations.py::test_a_metadata_schema_that_the_key_may_not_read_stops_no_run",
    ),
    "the server asks to wait more than a day": (
        "contract/test_plugins_agree.py::test_the_same_refusal_is_told_in_the_same_words",
    ),
    "no response at all from the start": (
        "faults/test_unreadable_404.py::test_a_wrong_address_ends_soon_and_with_advice",
        "contract/test_plugins_agree.py::test_an_api_that_is_not_there_is_told_in_the_same_words",
    ),
    "a redirect": (
        "contract/test_plugins_agree.py::test_the_same_refusal_is_told_in_the_same_words",
        "faults/test_security.py::test_no_redirect_leads_elsewhere",
        "faults/test_security.py::test_no_run_follows_a_redirect",
    ),
    "a response above 64 MiB": (
        "faults/test_security.py::test_reading_stops_at_64_mib",
        "faults/test_security.py::test_a_monster_does_not_take_the_machine_down",
        "unit/test_client_response_body.py::test_reading_stops_at_the_limit",
    ),
    "an exchange longer than 300 seconds": (
        "unit/test_client_deadline.py::test_bytes_that_drip_for_ever_are_a_time_out",
        "unit/test_client_deadline.py::test_a_download_has_a_longer_deadline_than_other_exchanges",
    ),
    "a key or `api_url` with blanks": (
        "faults/test_connection_settings.py::test_blanks_around_keys_and_address_are_dropped",
        "faults/test_connection_settings.py::test_blanks_from_the_environment_are_dropped",
    ),
    "a setting that does not exist": (
        "faults/test_tap_bad_input.py::test_a_wrong_setting_is_one_sentence",
        "faults/test_tap_bad_input.py::test_a_variable_that_sets_nothing_is_an_error",
        "faults/test_target_input.py::test_wrong_settings_end_in_one_sentence",
        "faults/test_target_input.py::test_a_misspelt_variable_writes_nothing",
        "faults/test_connection_settings.py::test_a_variable_of_another_type_is_an_error",
        "faults/test_tap_situations.py::test_settings_and_selections_that_cannot_work_make_no_request",
    ),
    "a state that is malformed": (
        "faults/test_tap_bad_input.py::test_what_is_no_state_is_no_silent_full_read",
        "faults/test_tap_bad_input.py::test_a_position_that_no_run_left_is_one_sentence",
        "faults/test_tap_bad_input.py::test_the_state_of_another_project_is_refused",
        "faults/test_tap_bad_input.py::test_a_catalog_that_selects_nothing_is_an_error",
        "faults/test_tap_situations.py::test_settings_and_selections_that_cannot_work_make_no_request",
        "faults/test_tap_situations.py::test_the_state_of_a_replaced_key_pair_is_read_without_its_project",
    ),
    "an unknown name in `reward_event_types`": (
        "faults/test_tap_bad_input.py::test_an_event_type_that_voucherify_does_not_publish_is_a_warning",
    ),
    "`end_date` with a stream": (
        "faults/test_tap_bad_input.py::test_a_stream_without_times_refuses_to_be_sliced",
        "faults/test_tap_situations.py::test_settings_and_selections_that_cannot_work_make_no_request",
    ),
    "a page shorter than `limit`": (
        "unit/test_tap_paging.py::test_a_short_page_does_not_end_a_read_unless_a_count_does",
        "unit/test_tap_paging.py::test_short_pages_by_number_go_on_while_the_total_says_more",
        "faults/test_tap_situations.py::test_a_short_page_that_repeats_fails_the_run",
        "faults/test_tap_situations.py::test_a_page_that_is_empty_too_soon_is_requested_twice",
    ),
    "a key with a character": (
        "faults/test_connection_settings.py::test_a_key_that_no_header_can_carry_is_named_and_not_shown",
    ),
    "`max_calls` is used up": (
        "faults/test_tap_customers.py::test_a_run_stopped_after_each_call_goes_on_where_it_was",
        "faults/test_target_bulk.py::test_max_calls_is_never_exceeded_and_ends_well",
        "end_to_end/test_round_trip.py::test_a_job_that_max_calls_stops_ends_well_and_the_next_goes_on",
    ),
    "`max_calls` is so small": (
        "faults/test_tap_few_calls.py::test_a_run_that_cannot_move_fails_and_names_a_number_that_helps",
        "faults/test_target_few_calls.py::test_a_run_moves_forward_or_says_how_many_calls_it_needs",
    ),
    "SIGTERM, SIGINT": (
        "faults/test_tap_customers.py::test_sigterm_ends_with_a_true_state_and_143",
        "faults/test_tap_situations.py::test_a_signal_during_an_export_leaves_its_id_in_the_state",
        "faults/test_target_kill.py::test_a_signal_while_waiting_for_input_ends_at_once",
        "faults/test_target_kill.py::test_a_server_that_hangs_cannot_outlast_the_grace",
    ),
    "SIGKILL, power failure": (
        "faults/test_tap_customers.py::test_a_killed_run_goes_on_from_its_last_whole_state",
        "faults/test_target_kill.py::test_nothing_acknowledged_is_missing",
    ),
    "`meltano run` itself is killed": (
        "end_to_end/test_meltano_killed.py::test_a_run_that_was_killed_blocks_the_next_for_five_minutes",
    ),
    # tap
    "a full read has fewer rows": (
        "faults/test_tap_movement.py::test_a_row_that_is_counted_and_never_listed_fails_once_and_then_is_a_warning",
        "faults/test_tap_movement.py::test_a_list_cut_short_once_is_read_to_its_end_by_the_next_run",
    ),
    "`start_date` is removed or set earlier than in the runs before": (
        "faults/test_tap_movement.py::test_a_read_cut_under_a_later_start_date_begins_anew",
        "faults/test_tap_movement.py::test_a_bookmark_behind_a_start_date_stays_and_says_what_is_not_read",
    ),
    "more than 9,900 rows in one millisecond": (
        "faults/test_tap_situations.py::test_more_rows_of_one_millisecond_than_the_pages_reach",
    ),
    "a list out of order": (
        "faults/test_tap_situations.py::test_a_list_that_could_hide_rows_ends_the_run_and_keeps_what_came_before",
    ),
    "a customer is deleted between two calls": (
        "standard/test_tap_reward_events.py::test_a_customer_deleted_meanwhile_is_skipped_and_counted",
    ),
    "an export fails or vanishes": (
        "faults/test_tap_export.py::test_an_export_that_goes_wrong_once_is_made_again",
        "faults/test_tap_export.py::test_an_export_that_goes_wrong_twice_is_one_sentence",
    ),
    "an export is interrupted": (
        "faults/test_tap_export.py::test_an_export_in_flight_is_picked_up_and_not_ordered_twice",
        "faults/test_tap_situations.py::test_a_signal_during_an_export_leaves_its_id_in_the_state",
    ),
    "an export has other columns": (
        "faults/test_tap_situations.py::test_an_export_with_other_columns_fails_the_run",
        "faults/test_tap_export.py::test_keys_do_not_follow_an_export_to_another_host",
    ),
    "a field has another type": (
        "faults/test_tap_situations.py::test_a_value_of_another_type_is_converted_or_becomes_null_and_is_counted",
    ),
    "a stored webhook has no readable time": (
        "standard/test_tap_webhooks.py::test_an_event_with_an_unreadable_time_gets_that_of_its_receipt",
    ),
    # target
    "a record that cannot become a customer": (
        "faults/test_target_situations.py::test_a_record_that_cannot_be_a_customer_costs_no_call",
        "faults/test_target_input.py::test_a_hostile_record_is_refused_alone",
    ),
    "`stream_maps` names a stream": (
        "faults/test_target_selection.py::test_a_stream_map_for_a_stream_that_never_comes_is_an_error",
        "faults/test_target_selection.py::test_a_pattern_and_a_removed_stream_may_match_nothing",
    ),
    "`stream_maps` removes every stream": (
        "faults/test_target_selection.py::test_an_input_of_removed_streams_is_an_error_and_passes_no_state",
    ),
    "a later SCHEMA of the stream": (
        "faults/test_target_selection.py::test_a_stream_whose_key_changes_gives_nobody_a_second_source_id",
    ),
    "the input has no SCHEMA": (
        "faults/test_target_selection.py::test_an_input_without_any_stream_is_not_complete",
        "faults/test_target_input.py::test_empty_input_ends_well_and_asks_nothing",
    ),
    "a record that an expression": (
        "faults/test_target_stream_maps.py::test_the_record_is_refused_and_the_others_are_written",
        "faults/test_target_stream_maps.py::test_a_record_that_fails_is_not_missing",
    ),
    "a number of thousands of digits": (
        "faults/test_target_input.py::test_an_extreme_value_refuses_its_record_alone",
        "faults/test_target_situations.py::test_where_a_record_is_nested_too_deeply_no_missing_customer_is_deleted",
    ),
    "a row that Voucherify refuses": (
        "faults/test_target_bulk.py::test_refused_rows_are_found_however_few_errors_are_listed",
        "faults/test_target_single.py::test_single_refusals_are_refusals",
    ),
    "a request refused as a whole": (
        "faults/test_target_bulk.py::test_a_poison_row_is_found_by_halving",
        "faults/test_target_situations.py::test_a_request_that_is_too_large_is_sent_in_halves",
    ),
    "Voucherify accepts fewer customers": (
        "faults/test_target_bulk.py::test_a_limit_on_customers_is_learned_once",
        "faults/test_target_situations.py::test_the_number_of_customers_that_a_request_may_have_is_logged",
    ),
    "a tap that is slow, silent, or never ends": (
        "faults/test_target_slow_input.py::test_the_state_of_a_finished_job_is_emitted_without_a_further_message",
        "faults/test_target_slow_input.py::test_a_batch_is_sent_when_it_is_old",
        "faults/test_target_slow_input.py::test_an_input_that_never_ends_is_written_and_acknowledged_as_it_comes",
    ),
    "a job that fails": (
        "faults/test_target_bulk.py::test_a_job_that_fails_is_sent_again_three_times_at_most",
        "faults/test_target_situations.py::test_a_job_that_is_not_believed_is_named_and_fails_the_run_after_three_attempts",
    ),
    "a job that is not found within three seconds": (
        "faults/test_target_odd_responses.py::test_a_job_that_is_not_visible_yet_is_polled_again",
        "faults/test_target_bulk.py::test_a_job_that_fails_is_sent_again_three_times_at_most",
    ),
    "a poll that Voucherify refuses": (
        "faults/test_target_odd_responses.py::test_a_poll_that_is_refused_refuses_no_batch",
    ),
    "a job that does not end": (
        "faults/test_target_bulk.py::test_a_job_that_hangs_fails_the_run_in_time",
        "faults/test_target_bulk.py::test_jobs_before_the_one_that_hangs_are_acknowledged",
    ),
    "an import of orders that does not say": (
        "standard/test_target_imports.py::test_what_nobody_tells_is_looked_up_before_anything_is_imported_again",
        "standard/test_target_imports.py::test_a_job_that_is_gone_ends_the_run_and_the_next_one_looks",
    ),
    "the export before an import": (
        "standard/test_target_imports.py::test_without_a_trustworthy_export_nothing_is_imported",
    ),
    "a bulk job of an earlier run": (
        "standard/test_target_imports.py::test_an_import_waits_for_that_of_an_earlier_run",
        "faults/test_target_earlier_jobs.py::test_a_late_job_does_not_replace_newer_customers",
        "faults/test_target_earlier_jobs.py::test_a_late_job_does_not_bring_deleted_customers_back",
        "faults/test_target_earlier_jobs.py::test_a_job_that_does_not_end_stops_the_run",
        "faults/test_target_earlier_jobs.py::test_bulk_writing_does_not_look_for_jobs",
    ),
    "refusals, of deletions too": (
        "faults/test_target_bulk.py::test_without_a_file_everything_else_is_written_and_no_state_speaks_for_a_refusal",
        "faults/test_target_bulk.py::test_a_refusal_before_sending_holds_later_states_too",
        "faults/test_target_deletions.py::test_a_refused_deletion_fails_a_run_without_a_refused_file",
    ),
    "more refusals than `max_refused_percent`": (
        "faults/test_target_bulk.py::test_too_many_refusals_fail_the_run_in_spite_of_a_file",
        "faults/test_target_bulk.py::test_a_few_refusals_are_judged_at_the_end",
    ),
    "more deletions than `max_delete_percent`": (
        "faults/test_target_single.py::test_the_breaker_deletes_nothing",
        "faults/test_target_replay_order.py::test_replayed_deletions_are_limited_by_the_customers_of_the_ledger",
    ),
    "a line that is not a message": (
        "faults/test_target_input.py::test_what_came_before_a_bad_line_is_written_and_acknowledged",
    ),
    "the ledger is lost or damaged": (
        "faults/test_target_single.py::test_a_lost_ledger_costs_calls_only",
        "faults/test_target_files.py::test_a_ledger_that_is_damaged_inside_is_named",
        "faults/test_target_replay_order.py::test_what_was_refused_before_the_ledger_began_stays_in_the_file",
    ),
    "the ledger is locked by another program": (
        "faults/test_target_files.py::test_a_locked_ledger_is_named",
        "faults/test_target_files.py::test_a_ledger_on_a_full_disk_is_named",
        "faults/test_target_files.py::test_a_refused_file_on_a_full_disk_is_named",
    ),
    "the ledger was restored": (
        "faults/test_target_restored.py::test_a_tap_that_resumes_after_a_restore_deletes_nobody",
        "faults/test_target_restored.py::test_customers_that_change_back_after_a_restore_are_sent",
    ),
    "the refused file was edited": (
        "faults/test_target_paths.py::test_a_last_line_without_a_line_feed_stays",
        "faults/test_target_paths.py::test_a_line_that_is_cut_short_is_kept_aside_and_said",
        "faults/test_target_paths.py::test_a_file_that_an_editor_saves_during_a_run_gets_all_of_the_run",
        "faults/test_target_situations.py::test_a_refused_file_that_an_editor_saves_during_its_replay_stays_as_saved",
    ),
    "a path names a pipe": (
        "faults/test_target_paths.py::test_a_pipe_or_a_device_is_refused_and_untouched",
        "faults/test_target_paths.py::test_another_programs_database_is_untouched",
        "faults/test_target_paths.py::test_one_path_for_both_files_is_an_error",
        "faults/test_target_files.py::test_a_path_that_cannot_be_written_is_named_with_what_to_do",
        "faults/test_target_situations.py::test_paths_that_name_no_file_of_their_own_make_no_request",
    ),
    "another run uses the same": (
        "faults/test_target_situations.py::test_a_second_run_makes_no_request",
        "faults/test_target_files.py::test_a_second_run_beside_the_first_is_refused",
        "faults/test_target_files.py::test_a_run_that_was_killed_holds_nothing",
    ),
}
"""Tests by the first cell of a row, whole or its beginning."""


@cache
def situations() -> tuple[str, ...]:
    """The first cells of the table's rows, without its head and the headings in it."""
    lines = (ROOT / "docs/operating.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")][2:]
    cells = (line.split(" | ")[0].removeprefix("| ") for line in table)
    return tuple(cell for cell in cells if not cell.startswith("**"))


def entry_of(situation: str) -> str:
    """The longest entry that the cell begins with, or `""`."""
    return max(filter(situation.startswith, SHOWN_BY), key=len, default="")


@cache
def names_in(path: str) -> frozenset[str]:
    file = ROOT / "tests" / path
    body = ast.parse(file.read_text()).body if file.exists() else []
    return frozenset(part.name for part in body if isinstance(part, ast.FunctionDef))


@pytest.mark.parametrize("situation", situations())
def test_a_situation_has_a_test(situation: str) -> None:
    assert entry_of(situation)


def test_each_entry_has_one_row() -> None:
    assert sorted(map(entry_of, situations())) == sorted(SHOWN_BY)


@pytest.mark.parametrize("tests", SHOWN_BY.values(), ids=SHOWN_BY.keys())
def test_each_named_test_exists(tests: tuple[str, ...]) -> None:
    assert tests
    for test in tests:
        path, _, name = test.partition("::")
        assert name in names_in(path), test
