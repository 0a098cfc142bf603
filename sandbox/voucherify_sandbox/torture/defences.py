"""Disables one defence at a time and expects a test to fail.

Each entry removes one line of defence from a copy of the plugins and runs the tests that should
notice; the table names the test that failed. An entry whose line is no longer in the code is an
error, so the list follows the code.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from voucherify_sandbox.torture.document import put

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = ("tap_voucherify", "target_voucherify")
SANDBOX = "voucherify_sandbox"
BRIDGE = "dlt_voucherify"
FOLDERS = {SANDBOX: "sandbox", BRIDGE: "bridges/dlt"}
"""Folders of packages that are not called like them."""

TIMEOUT = 600
"""Seconds for the tests of one entry."""


class Defence(NamedTuple):
    """One defence: its name, its line of code, the line without it, and its tests."""

    name: str
    module: str
    line: str
    without: str
    tests: tuple[str, ...]


RECORDS = ("tests/unit/test_tap_encoder.py",)
WALK = ("tests/unit/test_tap_walk.py", "tests/faults/test_tap_customers.py")
INPUT = ("tests/faults/test_tap_bad_input.py",)
FEW = ("tests/faults/test_tap_few_calls.py",)
PAGING = ("tests/unit/test_tap_paging.py",)
MOVEMENT = ("tests/faults/test_tap_movement.py",)
READINGS = ("tests/faults/test_tap_readings.py",)
EVENTS = ("tests/standard/test_tap_reward_events.py",)
BULK = ("tests/faults/test_target_bulk.py", "-k", "not nothing_is_lost")
MATRIX = ("tests/faults/test_target_bulk.py", "-k", "nothing_is_lost")
SINGLE = ("tests/faults/test_target_single.py",)
MISSING = ("tests/faults/test_target_missing.py",)
DELETIONS = ("tests/faults/test_target_deletions.py",)
FILES = ("tests/faults/test_target_files.py",)
RESTORED = ("tests/faults/test_target_restored.py",)
EARLIER = ("tests/faults/test_target_earlier_jobs.py",)
IMPORTS = ("tests/standard/test_target_imports.py",)
SUPERSEDED = ("tests/faults/test_target_superseded.py",)
ORDER = ("tests/faults/test_target_replay_order.py",)
ODD = ("tests/faults/test_target_odd_responses.py",)
PATHS = ("tests/faults/test_target_paths.py",)
SELECTION = ("tests/faults/test_target_selection.py",)
AGREE = ("tests/contract/test_plugins_agree.py",)
SIDE = ("tests/faults/test_tap_side_by_side.py",)
RECEIVER = ("tests/faults/test_webhook_receiver.py",)
CERTIFY = ("tests/faults/test_certify_faults.py",)
CERTIFY_REWARDS = ("tests/faults/test_certify_rewards.py",)
STAND_IN = ("tests/faults/test_certify_stand_in.py",)
ECHOES = ("tests/faults/test_tap_echoes.py",)
STORE = ("tests/standard/test_tap_webhooks.py",)
TYPES = ("tests/unit/test_tap_metadata_types.py",)
DLT = ("tests/bridges/test_dlt.py",)

DEFENCES = (
    Defence(
        "certify: a customer is noted before it is created",
        "voucherify_sandbox/certify/probe.py",
        "            self.note_row(key)\n",
        "            pass\n",
        (*CERTIFY, "-k", "killed"),
    ),
    Defence(
        "certify: a customer whose creation was repeated is not taken for a new one",
        "voucherify_sandbox/certify/probe.py",
        "if not (fresh and exchange.repeated):",
        "if True:",
        (*CERTIFY, "-k", "lost_response"),
    ),
    Defence(
        "certify: jobs have ended before their customers are deleted",
        "voucherify_sandbox/certify/cleanup.py",
        "over = over or _jobs_over(probe)",
        "over = True",
        (*CERTIFY, "-k", "queued"),
    ),
    Defence(
        "certify: campaigns and rewards are noted before they are created",
        "voucherify_sandbox/certify/reward_steps.py",
        "    probe.note_program(CAMPAIGNS)\n",
        "",
        (*CERTIFY_REWARDS, "-k", "killed"),
    ),
    Defence(
        "certify: a campaign without a name is not taken for somebody else's",
        "voucherify_sandbox/certify/cleanup.py",
        "if not own and any(rows):",
        "if False:",
        (*CERTIFY_REWARDS, "-k", "nameless"),
    ),
    Defence(
        "certify: a campaign is gone when no list shows it",
        "voucherify_sandbox/certify/cleanup.py",
        "        own = _own_programs(probe, path)\n        if not own:",
        "        own = _own_programs(probe, path)\n        if True:",
        (*CERTIFY_REWARDS, "-k", "killed"),
    ),
    Defence(
        "certify: a list proves that all is gone",
        "voucherify_sandbox/certify/cleanup.py",
        "return not found",
        "return True",
        (*CERTIFY, "-k", "came_out_differently"),
    ),
    Defence(
        "certify: customers of others are not noted",
        "voucherify_sandbox/certify/caller.py",
        "row if is_own(row, notes) else {}",
        "row",
        (*CERTIFY, "-k", "not_noted"),
    ),
    Defence(
        "certify: an error of another program is no answer",
        "voucherify_sandbox/certify/caller.py",
        'return not {"code", "key", "statusCode"} & set(exchange.json)',
        "return False",
        (*CERTIFY, "-k", "another_program"),
    ),
    Defence(
        "certify: a project with customers is left alone",
        "voucherify_sandbox/certify/list_steps.py",
        "if probe.customers > MOST_CUSTOMERS or",
        "if",
        (*CERTIFY, "-k", "left_alone"),
    ),
    Defence(
        "certify: keys go to the hosts of the API only",
        "voucherify_sandbox/certify/exchange.py",
        "return other.netloc in {own.netloc, downloads}",
        "return True",
        ("tests/unit/test_certify.py", "-k", "region"),
    ),
    Defence(
        "certify: what is not published is not recorded",
        "voucherify_sandbox/certify/recording.py",
        'if _BRACKETS.sub("", name) in KNOWN',
        "if True",
        ("tests/unit/test_certify.py", "-k", "unpublished"),
    ),
    Defence(
        "certify: a response about somebody else is no answer",
        "voucherify_sandbox/certify/caller.py",
        'if "source_id" in body and body.get("object")',
        'if "" in body and body.get("object")',
        (*STAND_IN, "-k", "somebody_else"),
    ),
    Defence(
        "certify: a row without its key is known by its name",
        "voucherify_sandbox/certify/caller.py",
        "{row.get('source_id')} {row.get('name')}",
        "{row.get('source_id')}",
        (*STAND_IN, "-k", "said_to_be_gone"),
    ),
    Defence(
        "certify: it is not clean while a job could make rows again",
        "voucherify_sandbox/certify/cleanup.py",
        "if not over:",
        "if False:",
        (*STAND_IN, "-k", "has_not_ended"),
    ),
    Defence(
        "certify: a project of which a part is shown is left alone",
        "voucherify_sandbox/certify/list_steps.py",
        ' or listed.json.get("has_more"):',
        ":",
        (*STAND_IN, "-k", "only_part"),
    ),
    Defence(
        "certify: an old run is not gone on with",
        "voucherify_sandbox/certify/run.py",
        "caller.age > LONGEST_CUT_SECONDS",
        "False",
        (*STAND_IN, "-k", "long_ago"),
    ),
    Defence(
        "certify: without leave to write a cut run is cleaned up",
        "voucherify_sandbox/certify/command.py",
        "options.clean_up or bool(notes.made and not options.throw_away)",
        "options.clean_up",
        (*STAND_IN, "-k", "without_leave"),
    ),
    Defence(
        "certify: keys that a response repeats are not kept",
        "voucherify_sandbox/certify/exchange.py",
        'raw = raw.replace(key.encode(), b"[key]")',
        "pass",
        (*STAND_IN, "-k", "no_person"),
    ),
    Defence(
        "tap: rows never updated may stand by their creation among the others",
        "tap_voucherify/pagination/time_cursor.py",
        "if self._endpoint.ascends(places, cursor):",
        "if False:",
        ("tests/unit/test_tap_walk.py", "-k", "among_the_others"),
    ),
    Defence(
        "tap: the same in a list read from its newest page on",
        "tap_voucherify/pagination/page_number.py",
        "return created is None or created < self.since",
        "return True",
        PAGING,
    ),
    Defence(
        "tap: a row without its time of creation is kept",
        "tap_voucherify/pagination/time_cursor.py",
        "if endpoint.may_lack_time or len(known) == len(rows):",
        "if True:",
        PAGING,
    ),
    Defence(
        "tap: a part that an earlier run began marks only ids that it requested",
        "tap_voucherify/rewards/id_queue.py",
        'self._database.execute("DELETE FROM queue WHERE id <= ? AND NOT is_done", (position,))',
        "pass",
        ("tests/unit/test_tap_candidates.py",),
    ),
    Defence(
        "tap: a state follows the batch that holds the records before it",
        "tap_voucherify/streams/stream.py",
        "if not self._is_batched:",
        "if True:",
        ("tests/faults/test_tap_customers.py", "-k", "batch"),
    ),
    Defence(
        "tap: a part of a stream is not announced as a whole version",
        "tap_voucherify/tap.py",
        'if self.config.get("emit_activate_version_messages") and stream.may_be_partial:',
        "if False:",
        (*INPUT, "-k", "version"),
    ),
    Defence(
        "tap: a catalog gives no stream another replication key",
        "tap_voucherify/streams/stream.py",
        "self.replication_key = own",
        "self.foreign_key = None",
        (*INPUT, "-k", "replication_key"),
    ),
    Defence(
        "receiver: what a full disk refuses does not count as written",
        "tap_voucherify/webhooks/store.py",
        "last = self.last",
        "last = self._written = self.last",
        (*RECEIVER, "-k", "full_disk"),
    ),
    Defence(
        "tap: each stream gets its turn where max_calls cuts every run",
        "tap_voucherify/tap.py",
        "begin = names.index(first) if first in names else 0",
        "begin = 0",
        ("tests/faults/test_tap_few_calls.py", "-k", "turn"),
    ),
    Defence(
        "tap: the number of calls that helps covers an instant with many rows",
        "tap_voucherify/streams/stream.py",
        "self.stats.instant_calls + 6, ",
        "",
        (*FEW, "-k", "few_numbers"),
    ),
    Defence(
        "tap: an empty page ends no read while the API counts more",
        "tap_voucherify/pagination/time_cursor.py",
        "return not self.rows and (self.has_more is True or counts_more)",
        "return False",
        PAGING,
    ),
    Defence(
        "tap: a short page of a parent ends no read while the API counts more",
        "tap_voucherify/pagination/page_number.py",
        "goes_on = page.has_more or page.may_have_successor or counts_more",
        "goes_on = page.may_have_successor",
        PAGING,
    ),
    Defence(
        "tap: a list of as many rows as its pages reach is whole for a run that goes on, too",
        "tap_voucherify/pagination/page_number.py",
        "before = (first - 1) * PAGE_ROWS",
        "before = 0",
        (*PAGING, "-k", "cap_of"),
    ),
    Defence(
        "tap: a row first updated between the two reads of a run comes with one of them",
        "tap_voucherify/pagination/replication_value.py",
        "end(parse(text, what=UPDATED), text) <= started()",
        "True",
        (*MOVEMENT, "-k", "first_updated"),
    ),
    Defence(
        "tap: a list is read once more where a row that went may have cut it short",
        "tap_voucherify/pagination/page_number.py",
        "if not (is_cut or says_more):",
        "if True:",
        ("tests/standard/test_tap_loyalty.py", "-k", "become_active"),
    ),
    Defence(
        "tap: SKUs that do not come inside their product are read",
        "tap_voucherify/streams/catalog.py",
        "not isinstance(total, int) or total > len(rows)",
        "False",
        ("tests/standard/test_tap_skus.py", "-k", "more_skus"),
    ),
    Defence(
        "tap: a cut read by page number goes on before the first page in doubt",
        "tap_voucherify/streams/paged.py",
        "self._kept = at.to_state()",
        "pass",
        (*MOVEMENT, "-k", "pulled_onto"),
    ),
    Defence(
        "tap: a cut read by page number finds its page again where rows went",
        "tap_voucherify/streams/paged.py",
        "if times and max(times) > at.newest:",
        "if True:",
        (*MOVEMENT, "-k", "go_between_two_runs"),
    ),
    Defence(
        "tap: a read that was cut under a later start_date begins anew",
        "tap_voucherify/streams/incremental.py",
        "if began is not None and (asked is None or asked < began):",
        "if False:",
        (*MOVEMENT, "-k", "later_start_date"),
    ),
    Defence(
        "tap: a scan of reward events that was cut is not gone on with under other settings",
        "tap_voucherify/streams/child.py",
        "if self._position.asked != self.asked:",
        "if False:",
        ("tests/standard/test_tap_reward_events.py", "-k", "cheap_scan or asked_for_later"),
    ),
    Defence(
        "tap: pages overlap by a millisecond",
        "tap_voucherify/pagination/time_cursor.py",
        "following = whole_millisecond(places[-1][0]) - MILLISECOND if places else None",
        "following = whole_millisecond(places[-1][0]) if places else None",
        WALK,
    ),
    Defence(
        "tap: rows in the overlap are dropped by id",
        "tap_voucherify/pagination/time_cursor.py",
        "if known in self._seen:",
        "if known in ():",
        WALK,
    ),
    Defence(
        "tap: a timestamp that fills pages is read by page number",
        "tap_voucherify/pagination/time_cursor.py",
        "yield from self._instant(query, following)",
        "yield from ()",
        WALK,
    ),
    Defence(
        "tap: pages read side by side are given only while a later answer counts the same",
        "tap_voucherify/pagination/parallel_windows.py",
        "return has_all and answer.page.total == self.total and len(self._ids) == expected",
        "return has_all and len(self._ids) == expected",
        ("tests/unit/test_tap_walk.py", "-k", "deletion_between"),
    ),
    Defence(
        "tap: a page waits for an answer requested after it",
        "tap_voucherify/pagination/parallel_windows.py",
        "while self._waiting and self._waiting[0].arrived <= self._confirmed:",
        "while self._waiting:",
        ("tests/unit/test_tap_walk.py", "-k", "deletion_between"),
    ),
    Defence(
        "tap: rows that change places within an instant are noticed",
        "tap_voucherify/pagination/parallel_windows.py",
        "return has_all and answer.page.total == self.total and len(self._ids) == expected",
        "return has_all and answer.page.total == self.total",
        WALK,
    ),
    Defence(
        "tap: an instant that no window holds is read by time, not searched for again and again",
        "tap_voucherify/pagination/parallel_windows.py",
        "if total is None or is_one_instant or self._is_unfiltered(total, before):",
        "if is_one_instant:\n                return None\n"
        "            if total is None or self._is_unfiltered(total, before):",
        ("tests/unit/test_tap_walk.py", "-k", "no_window_holds or pages_of_a_window"),
    ),
    Defence(
        "tap: a first run from a date reads older rows that changed since",
        "tap_voucherify/streams/time_range.py",
        "if since is not None and self.by_update is not None:",
        "if False:",
        SIDE,
    ),
    Defence(
        "tap: a slice is held against the API's count",
        "tap_voucherify/streams/time_range.py",
        "if counted > rows and FilteredCount(fetch, self.by_creation).heeds_filters:",
        "if False:",
        SIDE,
    ),
    Defence(
        "tap: a list that grows with every request has an end",
        "tap_voucherify/pagination/time_cursor.py",
        "return not fresh or (started is not None and fresh[0][0] >= started())",
        "return not fresh",
        (*WALK, "-k", "grows"),
    ),
    Defence(
        "tap: pages of one timestamp are read again until nothing is new",
        "tap_voucherify/pagination/time_cursor.py",
        "while quiet < quiet_passes and not is_complete():",
        "while False:",
        WALK,
    ),
    Defence(
        "tap: reward events reuse only a read that began where theirs would",
        "tap_voucherify/rewards/candidates.py",
        "if self._ids is None or self._since != since:",
        "if self._ids is None:",
        EVENTS,
    ),
    Defence(
        "tap: customers never updated are read separately",
        "tap_voucherify/pagination/replication_value.py",
        "return heapq.merge(rest, updated, key=lambda timed: timed[0])",
        "return heapq.merge(updated, key=lambda timed: timed[0])",
        WALK,
    ),
    Defence(
        "tap: the bookmark stays behind the start of the run",
        "tap_voucherify/streams/incremental.py",
        "capped = min(reached, started - self.lookback)",
        "capped = reached",
        ("tests/faults/test_tap_customers.py", "-k", "bookmark"),
    ),
    Defence(
        "tap: without a server's clock the bookmark stays behind the newest row",
        "tap_voucherify/streams/incremental.py",
        "capped = min(capped, self.newest)",
        "pass",
        (*INPUT, "-k", "clock"),
    ),
    Defence(
        "tap: a position in the future is refused",
        "tap_voucherify/pagination/position.py",
        "if instant > datetime.now(UTC) + CLOCK_TOLERANCE:",
        "if False:",
        (*INPUT, "-k", "position"),
    ),
    Defence(
        "tap: another project's state is refused",
        "tap_voucherify/tap.py",
        'refuse_foreign(self._own_state, self.config["application_id"])',
        "pass",
        (*INPUT, "-k", "another_project"),
    ),
    Defence(
        "tap: what is no state is refused",
        "tap_voucherify/state.py",
        'if not state or _are_bookmarks(state.get("bookmarks")):',
        "if True:",
        (*INPUT, "-k", "no_state"),
    ),
    Defence(
        "tap: a catalog that selects nothing is refused",
        "tap_voucherify/tap.py",
        "if not selected:",
        "if False:",
        (*INPUT, "-k", "catalog"),
    ),
    Defence(
        "tap: with max_calls parents are collected and read in parts",
        "tap_voucherify/streams/child.py",
        "if is_border and self._budget.is_used(self._queue):",
        "if False:",
        FEW,
    ),
    Defence(
        "tap: a position in a part without an end is not used under max_calls",
        "tap_voucherify/streams/child.py",
        "self._at.last_source, self._at.until = [*self._order][-1], LATEST",
        "pass",
        FEW,
    ),
    Defence(
        "tap: max_calls that let no run get further are an error",
        "tap_voucherify/tap.py",
        "if not cut or any(stream.has_moved for stream in streams):",
        "if True:",
        FEW,
    ),
    Defence(
        "tap: the calls that are named cover the streams before",
        "tap_voucherify/tap.py",
        "for stream in streams[: streams.index(last) + 1]",
        "for stream in [aim]",
        FEW,
    ),
    Defence(
        "tap: a short page whose total says more does not end a read by time",
        "tap_voucherify/pagination/time_cursor.py",
        "if not (page.counts_more or page.is_unproven):",
        "if True:",
        PAGING,
    ),
    Defence(
        "tap: a short page whose total says more does not end a read by page number",
        "tap_voucherify/pagination/time_cursor.py",
        "return self.may_have_successor or (self.counts_more and passed < (self.total or 0))",
        "return self.may_have_successor",
        PAGING,
    ),
    Defence(
        "tap: the completeness line counts what is written",
        "tap_voucherify/streams/stream.py",
        "self._flush()\n        return self.report.rows",
        "return self.report.rows",
        ("tests/standard/test_tap_streams.py", "-k", "completeness"),
    ),
    Defence(
        "tap: a record of a page holds no NUL",
        "tap_voucherify/records/encoder.py",
        "if not _has_nul(content):",
        "if True:",
        RECORDS,
    ),
    Defence(
        "tap: members that the schema does not name are read, not copied unread",
        "tap_voucherify/records/encoder.py",
        "type_of(part, closed=key not in opened)",
        "type_of(part)",
        RECORDS,
    ),
    Defence(
        "tap: a column that did not conform once is checked in each row",
        "tap_voucherify/records/encoder.py",
        "            self._check_columns(columns, row.suspects)\n",
        "",
        RECORDS,
    ),
    Defence(
        "tap: what cannot be read in a column that is checked later ends no run",
        "tap_voucherify/records/encoder.py",
        "                decode(text)  # to raise now what cannot be read",
        "                pass",
        RECORDS,
    ),
    Defence(
        "tap: a line break of a page ends no message",
        "tap_voucherify/records/encoder.py",
        'content = content.replace(b"\\n", b" ").replace(b"\\r", b" ")',
        "pass",
        RECORDS,
    ),
    Defence(
        "tap: times that paging reads are checked",
        "tap_voucherify/records/encoder.py",
        "if is_time and not (value is None or is_instant(value)):",
        "if False:",
        RECORDS,
    ),
    Defence(
        "tap: counters are read that no record shall have",
        "tap_voucherify/streams/customers.py",
        'return COUNTERS if self.is_selected("reward_events") else ()',
        "return ()",
        ("tests/standard/test_tap_records.py", "-k", "counters"),
    ),
    Defence(
        "tap: a stream that can only be read whole refuses to be sliced",
        "tap_voucherify/tap.py",
        'if self.config.get("end_date"):',
        "if False:",
        (*INPUT, "-k", "sliced"),
    ),
    Defence(
        "tap: discovery does not wait for optional types",
        "tap_voucherify/tap.py",
        "self.client.longest_wait = WAIT_FOR_TYPES",
        "pass",
        (*INPUT, "-k", "do_without"),
    ),
    Defence(
        "tap: a first run is compared with the API's total",
        "tap_voucherify/pagination/total_check.py",
        "self.missing = max(0, (self.total or 0) - self.rows) or None",
        "self.missing = None",
        WALK,
    ),
    Defence(
        "tap: customers named by redemptions are polled",
        "tap_voucherify/streams/reward_events.py",
        "for name in named_by_redemption(row):",
        "for name in ():",
        EVENTS,
    ),
    Defence(
        "tap: a missing counter counts as changed",
        "tap_voucherify/rewards/candidates.py",
        "return not (present and all(_is_zero(counter) for counter in counters))",
        "return not all(_is_zero(counter or 0) for counter in counters)",
        ("tests/unit/test_tap_changes.py",),
    ),
    Defence(
        "both: a proxy's 404 is not a deletion",
        "voucherify_client/responses.py",
        "return missing if response.is_voucherify_404 else VoucherifyError(str(missing))",
        "return missing",
        (*EVENTS, *SINGLE),
    ),
    Defence(
        "both: waits are as long as the server asks",
        "voucherify_client/client.py",
        'seconds, reason = max(delay or (0.0, ""), (backoff(attempt - 1), "back-off"))',
        'seconds, reason = (backoff(attempt - 1), "back-off")',
        AGREE,
    ),
    Defence(
        "both: redirects are not followed",
        "voucherify_client/transport.py",
        "retries=NO_RETRIES,\n            redirect=False,",
        "retries=3,\n            redirect=True,",
        ("tests/faults/test_security.py", "-k", "redirect"),
    ),
    Defence(
        "both: certificates are verified",
        "voucherify_client/transport.py",
        "DEFAULT_CA_BUNDLE_PATH if certificates is True else certificates,",
        "False,",
        ("tests/faults/test_tls.py",),
    ),
    Defence(
        "both: no proxy is on the way to this machine",
        "voucherify_client/transport.py",
        "session.trust_env = not is_loopback(origin)",
        "session.trust_env = True",
        ("tests/faults/test_security.py", "-k", "proxy"),
    ),
    Defence(
        "tap: rows of the last instant before a read do not make up for missing ones",
        "tap_voucherify/pagination/total_check.py",
        "recount + self._rows_just_before",
        "recount",
        ("tests/faults/test_tap_movement.py", "-k", "just_before"),
    ),
    Defence(
        "tap: downloads come from known hosts only",
        "voucherify_client/urls.py",
        'return wanted.scheme == "https" and wanted.netloc in {*DOWNLOAD_HOSTS, of_region}',
        "return bool(of_region)",
        ("tests/faults/test_security.py", "tests/faults/test_tap_export.py"),
    ),
    Defence(
        "target: a state waits for the records before it",
        "target_voucherify/acknowledgement/state_fence.py",
        "oldest is None or self._waiting[0][0] < oldest",
        "oldest is None or self._waiting[0][0] < oldest or True",
        ("tests/unit/test_target_fence.py", "tests/faults/test_target_bulk.py"),
    ),
    Defence(
        "target: counts of a job must add up",
        "target_voucherify/writing/job_result.py",
        "        and done + failed == sent\n",
        "",
        ("tests/unit/test_target_parts.py", *BULK),
    ),
    Defence(
        "target: a job whose operation failed has failed",
        "target_voucherify/writing/job_result.py",
        '        and action.get("operation_status") != "FAILED"\n',
        "",
        ("tests/unit/test_target_parts.py", *BULK),
    ),
    Defence(
        "target: unnamed refused rows are searched for",
        "target_voucherify/writing/job_result.py",
        "    if named == failed:\n",
        "    if named <= failed:  # not one by one\n",
        BULK,
    ),
    Defence(
        "target: jobs in flight share no key",
        "target_voucherify/writing/bulk.py",
        "return all(batch.rows.keys().isdisjoint(job.batch.rows) for job in self._jobs)",
        "return True",
        BULK,
    ),
    Defence(
        "target: a request refused as a whole is halved",
        "target_voucherify/writing/bulk.py",
        "        if len(batch.rows) == 1:\n",
        "        if batch.rows:\n",
        BULK,
    ),
    Defence(
        "target: no state covers a refusal without a file",
        "target_voucherify/acknowledgement/outcomes.py",
        "            self._block_states(ticket)\n",
        "",
        BULK,
    ),
    Defence(
        "target: a fingerprint is forgotten before a change is sent",
        "target_voucherify/writing/bulk.py",
        "        self._context.ledger.forget(batch.rows)\n",
        "",
        SINGLE,
    ),
    Defence(
        "target: a run of few calls that the next one would only repeat fails",
        "target_voucherify/run.py",
        "            self._check_progress(error)\n",
        "",
        ("tests/faults/test_target_few_calls.py",),
    ),
    Defence(
        "target: single customers are not written before earlier jobs end",
        "target_voucherify/writing/single.py",
        "        self._earlier_jobs.wait()\n",
        "",
        EARLIER,
    ),
    Defence(
        "target: customers are not deleted before earlier jobs end",
        "target_voucherify/writing/deletions.py",
        "            self._earlier_jobs.wait()\n",
        "            pass\n",
        EARLIER,
    ),
    Defence(
        "target: nothing is imported that is there already",
        "target_voucherify/writing/imports.py",
        "fresh = batch.without([key for key in batch.rows if key in self._known])",
        "fresh = batch",
        (*IMPORTS, "-k", "known or twice"),
    ),
    Defence(
        "target: an import whose response is lost is not repeated",
        "target_voucherify/writing/bulk.py",
        "is_repeatable=self._entity.is_upserted",
        "is_repeatable=True",
        (*IMPORTS, "-k", "nobody_tells"),
    ),
    Defence(
        "target: what was imported is looked up before it is imported again",
        "target_voucherify/writing/imports.py",
        "missing = batch.without([key for key in batch.rows if key in self._known])",
        "missing = batch",
        (*IMPORTS, "-k", "nobody_tells"),
    ),
    Defence(
        "target: a job that is gone may still import",
        "target_voucherify/writing/imports.py",
        "        if not action:\n",
        "        if False:\n",
        (*IMPORTS, "-k", "gone"),
    ),
    Defence(
        "target: an export that lacks orders is not believed",
        "target_voucherify/writing/known_keys.py",
        "        if count < total:\n",
        "        if False:\n",
        (*IMPORTS, "-k", "trustworthy"),
    ),
    Defence(
        "target: orders are looked up once earlier imports have ended",
        "target_voucherify/writing/imports.py",
        "        self._earlier_jobs.wait_anew()\n        self._known.read()\n",
        "        self._known.read()\n",
        (*IMPORTS, "-k", "earlier_run"),
    ),
    Defence(
        "target: a ledger from a backup is not believed",
        "target_voucherify/acknowledgement/ledger.py",
        "            if about and not is_as_left:\n",
        "            if False:\n",
        RESTORED,
    ),
    Defence(
        "target: a ledger from a backup of its whole folder is not believed",
        "target_voucherify/acknowledgement/ledger.py",
        ' and runs.left in {found, ""}\n',
        "\n",
        (*RESTORED, "-k", "lock"),
    ),
    Defence(
        "target: max_delete_percent stops deletions",
        "target_voucherify/writing/deletions.py",
        "if count * 100 > self._percent * customers:",
        "if False:",
        SINGLE,
    ),
    Defence(
        "target: a record without source_id is never sent",
        "target_voucherify/entities/source_id.py",
        "    elif not stripped.strip() and not problems:\n",
        "    elif False:\n",
        ("tests/unit/test_target_customer.py",),
    ),
    Defence(
        "target: a version counts only after the records that carry it",
        "target_voucherify/acknowledgement/complete_streams.py",
        "seen.is_active = seen.version == str(version) and not seen.is_mixed",
        "seen.is_active, seen.version = True, str(version)",
        MISSING,
    ),
    Defence(
        "target: every stream of a pipeline has to be complete before a customer counts as missing",
        "target_voucherify/acknowledgement/ledger.py",
        "return bool(stored) and all(",
        "return bool(stored) and any(",
        MISSING,
    ),
    Defence(
        "target: a version that an earlier run began is not complete",
        "target_voucherify/acknowledgement/complete_streams.py",
        "seen.is_resumed = not self._begin(stream, text)",
        "seen.is_resumed = False",
        MISSING,
    ),
    Defence(
        "target: a ledger belongs to one pipeline",
        "target_voucherify/acknowledgement/ledger.py",
        "elif known is None and (self._is_same_pipeline or not bound):",
        "elif known is None:",
        MISSING,
    ),
    Defence(
        "target: a customer that a filter removes is not missing",
        "target_voucherify/singer/routing.py",
        "                self._mark_filtered(route, record)\n",
        "                pass\n",
        MISSING,
    ),
    Defence(
        "target: after an unreadable key no customer counts as missing",
        "target_voucherify/entity_run.py",
        "self.deletions.versions.mark_unreadable_key()",
        "pass",
        MISSING,
    ),
    Defence(
        "target: a key stays in the ledger until its deletion is confirmed",
        "target_voucherify/acknowledgement/ledger.py",
        '"INSERT OR REPLACE INTO accepted VALUES (?, ?)", ((key, UNKNOWN) for key in keys)',
        '"DELETE FROM accepted WHERE source_id = ?", ((key,) for key in keys)',
        MISSING,
    ),
    Defence(
        "target: a refused deletion fails a run without a refused file",
        "target_voucherify/run.py",
        "error = self._with_refusals(self._error_of(self._finish_entities))\n",
        "error = self._error_of(self._finish_entities)\n",
        DELETIONS,
    ),
    Defence(
        "target: one run at a time uses a ledger or a refused file",
        "target_voucherify/acknowledgement/private_files.py",
        "        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "",
        FILES,
    ),
    Defence(
        "target: only their owner may read the files that hold people",
        "target_voucherify/acknowledgement/private_files.py",
        "            os.fchmod(descriptor, PRIVATE)\n",
        "            pass\n",
        FILES,
    ),
    Defence(
        "target: a refused record is set aside byte for byte",
        "target_voucherify/acknowledgement/refused_file.py",
        "        refused = with_refusal(line, refusal)\n",
        "        message = _clean({**record, **refusal})\n"
        '        refused = _encode({"type": "RECORD", "stream": stream, "record": message})\n',
        ("tests/faults/test_target_replay.py", "-k", "encoded"),
    ),
    Defence(
        "target: a ledger that fails ends the run in order",
        "target_voucherify/acknowledgement/ledger.py",
        "            with self._database:\n                yield\n        except sqlite3.Error as",
        "            with self._database:\n                yield\n        except KeyError as",
        FILES,
    ),
    Defence(
        "target: a refused file that fails ends the run in order",
        "target_voucherify/acknowledgement/refused_file.py",
        "            yield\n        except OSError as error:",
        "            yield\n        except KeyError as error:",
        FILES,
    ),
    Defence(
        "target: keys that differ only in case are not deleted",
        "target_voucherify/writing/deletions.py",
        "            elif key in self._ambiguous:\n",
        "            elif False:\n",
        DELETIONS,
    ),
    Defence(
        "target: keys that differ only in spaces or the form of letters are not deleted",
        "target_voucherify/entities/source_id.py",
        'unicodedata.normalize("NFKC", key.strip()).casefold()',
        "key.casefold()",
        DELETIONS,
    ),
    Defence(
        "target: a replay sends nothing that a newer record has replaced",
        "target_voucherify/acknowledgement/ledger.py",
        "            return self._execute(newer, (customer, at)).fetchone() is not None\n",
        "            return False\n",
        SUPERSEDED,
    ),
    Defence(
        "target: what was read before a refused record does not replace it",
        "target_voucherify/acknowledgement/outcomes.py",
        "self._ledger.confirm((key, row.at) for key, row in rows.items())",
        "self._ledger.confirm((key, self._ledger.now()) for key in rows)",
        SUPERSEDED,
    ),
    Defence(
        "target: a replayed record is as old as it was when it was refused",
        "target_voucherify/entity_run.py",
        "at = self._ledger.now() if at is None else at",
        "at = self._ledger.now()",
        ORDER,
    ),
    Defence(
        "target: of two replayed records of a key the newer wins",
        "target_voucherify/entity_run.py",
        "        if newest > at or self._ledger.has_newer(key, at):\n",
        "        if self._ledger.has_newer(key, at):\n",
        ORDER,
    ),
    Defence(
        "target: a refusal without a readable key is a refusal for the ledger, too",
        "target_voucherify/acknowledgement/outcomes.py",
        "            self._ledger.note_refusal()\n",
        "            if key:\n                self._ledger.note_refusal()\n",
        ORDER,
    ),
    Defence(
        "target: an unchanged customer is newer than what was refused before",
        "target_voucherify/entity_run.py",
        "        self._ledger.confirm((key, row.at) for key, row in same)\n",
        "",
        SUPERSEDED,
    ),
    Defence(
        "target: what was refused before the ledger began is not replayed",
        "target_voucherify/entity_run.py",
        "        if at < self._ledger.begun:\n",
        "        if False:\n",
        ORDER,
    ),
    Defence(
        "target: without a ledger no deletion is replayed",
        "target_voucherify/entity_run.py",
        "self._outcomes.refuse(line, key, REPLAYED_DELETION)\n                return\n",
        "pass\n",
        ORDER,
    ),
    Defence(
        "target: the ledger's times never go backwards",
        "target_voucherify/acknowledgement/ledger.py",
        "        self._newest = now if now > self._newest else self._newest + TICK\n",
        "        self._newest = now\n",
        ORDER,
    ),
    Defence(
        "target: a blank mark deletes nobody",
        "target_voucherify/sinks.py",
        "    return text in YES or not DIGITS.isdisjoint(text)\n",
        "    return bool(text)\n",
        SELECTION,
    ),
    Defence(
        "target: a version that a run without deletions began is not complete",
        "target_voucherify/writing/deletions.py",
        "        self.tracks_versions = self._ledger.is_enabled\n",
        "        self.tracks_versions = False\n",
        MISSING,
    ),
    Defence(
        "target: a filter cancels only deletions of who is back",
        "target_voucherify/writing/deletions.py",
        "        if is_back:\n",
        "        if True:\n",
        MISSING,
    ),
    Defence(
        "target: who has an outdated record is not missing",
        "target_voucherify/entity_run.py",
        "            self.deletions.mark_superseded(key)\n",
        "",
        MISSING,
    ),
    Defence(
        "target: a dry run reads the ledger of a run that was killed",
        "target_voucherify/acknowledgement/ledger.py",
        "        self._check(path)\n",
        "        if not self._read_only:\n            self._check(path)\n",
        (*FILES, "-k", "killed_while_it_wrote"),
    ),
    Defence(
        "target: a signal before the run is not swallowed",
        "target_voucherify/target.py",
        "            sys.exit(exit_status(StopSignalError(signum), self.logger))\n",
        "            raise StopSignalError(signum)\n",
        ("tests/faults/test_target_kill.py", "-k", "before_anything"),
    ),
    Defence(
        "target: the key of a stream does not change within a run",
        "target_voucherify/singer/routing.py",
        "        if before != key:\n",
        "        if False:\n",
        SELECTION,
    ),
    Defence(
        "target: a 404 of a path is not one of a customer",
        "target_voucherify/writing/deletions.py",
        'error.resource_type != "customer"',
        "False",
        (*SINGLE, "-k", "slash"),
    ),
    Defence(
        "target: a ledger is bound to the settings that make its keys",
        "target_voucherify/singer/routing.py",
        '        if "config" in made:\n',
        "        if False:\n",
        MISSING,
    ),
    Defence(
        "target: a stream map that names the mark of deletions decides",
        "target_voucherify/singer/routing.py",
        "if DELETED_AT in record and not route.marks_deleted:",
        "if DELETED_AT in record:",
        SELECTION,
    ),
    Defence(
        "target: no state covers an input whose streams are all removed",
        "target_voucherify/singer/routing.py",
        "self._ticket = run.fence.hold() if maps else 0",
        "self._ticket = 0",
        SELECTION,
    ),
    Defence(
        "target: the key of a customer is not mapped as a field",
        "target_voucherify/entities/mapping.py",
        '    if "source_id" in mapping:\n',
        "    if False:\n",
        SELECTION,
    ),
    Defence(
        "target: a key with segments of dots or nothing is not deleted",
        "target_voucherify/writing/deletions.py",
        'segments.isdisjoint({"", ".", ".."})',
        'key not in {".", ".."}',
        ("tests/unit/test_target_parts.py", "-k", "gateway"),
    ),
    Defence(
        "target: a last line without a line feed is no torn one",
        "target_voucherify/acknowledgement/refused_file.py",
        "        if _is_message(last):\n",
        "        if False:\n",
        PATHS,
    ),
    Defence(
        "target: a refused file that an editor saved gets what the run set aside",
        "target_voucherify/acknowledgement/refused_file.py",
        "            self._follow()\n",
        "",
        PATHS,
    ),
    Defence(
        "target: another program's database is no ledger",
        "target_voucherify/acknowledgement/ledger.py",
        '        if tables and "about" not in tables:\n',
        "        if False:\n",
        PATHS,
    ),
    Defence(
        "target: a proxy's response refuses no record",
        "voucherify_client/responses.py",
        "if not response.is_from_voucherify and status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:",
        "if False:",
        ODD,
    ),
    Defence(
        "target: a refused poll is no refusal of the batch that waits",
        "target_voucherify/writing/bulk.py",
        "        except RefusedRequestError as error:\n            # Not the refusal",
        "        except KeyError as error:\n            # Not the refusal",
        (*ODD, "-k", "poll_that"),
    ),
    Defence(
        "target: repeated records do not raise the limit of deletions",
        "target_voucherify/writing/deletions.py",
        "        self._distinct += self._marked(self._seen)\n",
        "        self._marked(self._seen)\n        self._distinct += len(self._seen)\n",
        ORDER,
    ),
    Defence(
        "target: a replay reads only what the file holds at the start",
        "target_voucherify/acknowledgement/refused_file.py",
        "        return self._read_size\n",
        "        return math.inf\n",
        ("tests/faults/test_target_replay.py",),
    ),
    Defence(
        "target: a replay that ends early leaves the file unchanged",
        "target_voucherify/acknowledgement/refused_file.py",
        "        if is_saved or not is_complete:",
        "        if is_saved:",
        ("tests/faults/test_target_replay.py",),
    ),
    Defence(
        "tap: an error that ends the run ends all waits",
        "tap_voucherify/pagination/ordered_map.py",
        "        fail(error)\n        raise",
        "        raise",
        ("tests/faults/test_shared_waits.py",),
    ),
    Defence(
        "target: with verify no state is passed before the customers were read back",
        "target_voucherify/run.py",
        "self.fence.hold() if settings.verify and not settings.dry_run else None",
        "None",
        ("tests/standard/test_target_compare.py",),
    ),
    Defence(
        "target: the ledger forgets accepted customers that are not there",
        "target_voucherify/entity_run.py",
        "            self._ledger.forget(missing)\n",
        "",
        ("tests/standard/test_target_compare.py",),
    ),
    Defence(
        "target: a customer that this run has sent is not compared with the export before",
        "target_voucherify/comparison/project_copy.py",
        "if found is None or found[1]:",
        "if found is None:",
        ("tests/standard/test_target_compare.py",),
    ),
    Defence(
        "target: an accepted customer of which nothing changed counts as not written",
        "target_voucherify/comparison/project_copy.py",
        "return False  # all that was sent is as it was before",
        "pass",
        ("tests/standard/test_target_compare.py",),
    ),
    Defence(
        "target: a value printed otherwise once is not taken for the one that was sent",
        "target_voucherify/comparison/project_copy.py",
        "LEARNED = 2",
        "LEARNED = 1",
        ("tests/standard/test_target_compare.py",),
    ),
    Defence(
        "target: an export is ordered when the jobs of earlier runs have ended",
        "target_voucherify/comparison/project_copy.py",
        "        self._before()\n",
        "",
        ("tests/standard/test_target_compare.py",),
    ),
    Defence(
        "target: an error that ends the run ends all waits",
        "target_voucherify/writing/concurrent_requests.py",
        "shutdown.fail(error)  # what the other threads wait for is of no use any more",
        "pass",
        ("tests/faults/test_shared_waits.py",),
    ),
    Defence(
        "both: HTTP libraries log no URL",
        "voucherify_client/client.py",
        "        filter_library_logs()\n",
        "",
        ("tests/faults/test_private_logs.py",),
    ),
    Defence(
        "both: keys are trimmed and checked before they are sent",
        "voucherify_client/connection_settings.py",
        "        name: value.strip()\n",
        "        name: value\n",
        ("tests/faults/test_connection_settings.py",),
    ),
    Defence(
        "target: a record that fails in a stream map is refused",
        "target_voucherify/singer/routing.py",
        "    except Exception as error:  # noqa: BLE001\n",
        "    except NotACustomerError as error:\n",
        ("tests/faults/test_target_stream_maps.py",),
    ),
    Defence(
        "both: stream maps log no value",
        "voucherify_client/log_filter.py",
        '    logging.getLogger("singer_sdk.mapper").addFilter(_above_debug)\n',
        "",
        ("tests/faults/test_target_stream_maps.py",),
    ),
    Defence(
        "target: keys of a record that may be data are hashed in logs",
        "voucherify_client/log_names.py",
        "    return name if IDENTIFIER.fullmatch(name) else _hash(name)\n",
        "    return name\n",
        ("tests/unit/test_client_log_names.py",),
    ),
    Defence(
        "target: what Voucherify says about a record is not logged",
        "target_voucherify/acknowledgement/refusal_reasons.py",
        '        key if KEY.fullmatch(key) else "refused",\n',
        "        key,\n",
        ("tests/unit/test_target_parts.py", "-k", "word_of_voucherify"),
    ),
    Defence(
        "target: another order of keys is no change",
        "target_voucherify/voucherify_client/sent_form.py",
        'decimal_format="number", order="deterministic")',
        'decimal_format="number")',
        ("tests/faults/test_target_single.py", "-k", "order_of_keys"),
    ),
    Defence(
        "tap: what did not arrive downstream is no echo",
        "tap_voucherify/streams/echo_guard.py",
        "DELETE FROM passed_on WHERE run > ? OR (run = ? AND number > ?)",
        "DELETE FROM passed_on WHERE run > 1 + ? OR (run = ? AND number > ?)",
        ECHOES,
    ),
    Defence(
        "tap: a change by somebody else is no echo",
        "tap_voucherify/streams/echo_guard.py",
        "if noted.fetchone() != (rest,) or self._ledger is None:",
        "if noted.fetchone() is None or self._ledger is None:",
        ECHOES,
    ),
    Defence(
        "tap: an edit by hand is no echo",
        "tap_voucherify/streams/echo_guard.py",
        "return bool(accepted == (fingerprint(form, written.salt),))",
        "return form != accepted",
        ECHOES,
    ),
    Defence(
        "tap: an old file of echoes is not believed",
        "tap_voucherify/streams/echo_guard.py",
        "if arrived.history != history or run < arrived.run or not has_last:",
        "if arrived.history != history:",
        ECHOES,
    ),
    Defence(
        "target: results are on disk before a state",
        "target_voucherify/acknowledgement/outcomes.py",
        "        self.results.flush()\n",
        "",
        ("tests/faults/test_target_results.py",),
    ),
    Defence(
        "target: samples of a plan are in no log",
        "target_voucherify/run.py",
        "if self.outcomes.plan is not None and sys.stderr.isatty():",
        "if self.outcomes.plan is not None:",
        ("tests/standard/test_target_plan.py",),
    ),
    Defence(
        "target: a half line of results is cut off",
        "target_voucherify/acknowledgement/results_file.py",
        "            self._end_line()\n",
        "",
        ("tests/faults/test_target_results.py",),
    ),
    Defence(
        "target: a batch is sent when it is old",
        "target_voucherify/writing/batch.py",
        "if self.seconds_to_due == 0:",
        "if False:",
        ("tests/faults/test_target_slow_input.py",),
    ),
    Defence(
        "target: a confirmed state is emitted although no message comes",
        "target_voucherify/target.py",
        "        self.message_reader.before_read = self.run.work_while_waiting\n",
        "",
        ("tests/faults/test_target_slow_input.py",),
    ),
    Defence(
        "target: memory counts the lines beside the customers",
        "target_voucherify/acknowledgement/outcomes.py",
        "        return len(self.payload) + len(self.line)\n",
        "        return len(self.payload)\n",
        ("tests/unit/test_target_parts.py", "-k", "batch"),
    ),
    Defence(
        "both: a 404 that cannot be read is retried",
        "voucherify_client/responses.py",
        "        is_failure = is_success or status == HTTPStatus.NOT_FOUND\n",
        "        is_failure = is_success\n",
        ("tests/faults/test_unreadable_404.py",),
    ),
    Defence(
        "target: an exponent that no number can have refuses one record",
        "target_voucherify/json_lines.py",
        '        return Decimal("NaN")\n',
        "        raise\n",
        ("tests/faults/test_target_input.py", "-k", "extreme"),
    ),
    Defence(
        "target: nesting beyond the decoder refuses one record",
        "target_voucherify/json_lines.py",
        "    except RecursionError:\n        pass\n",
        "    except RecursionError:\n        raise _unreadable() from None\n",
        ("tests/faults/test_target_input.py", "-k", "extreme"),
    ),
    Defence(
        "both: a setting that does not exist is an error",
        "voucherify_client/connection_settings.py",
        "        if name not in known and value is not None:\n",
        "        if False:\n",
        ("tests/unit/test_client_settings.py",),
    ),
    Defence(
        "both: a variable that sets nothing is an error",
        "voucherify_client/connection_settings.py",
        '        if name in {variable, ""} or name in variables or OF_OTHERS.fullmatch(name):\n',
        "        if True:\n",
        ("tests/unit/test_client_settings.py",),
    ),
    Defence(
        "both: an invalid character does not invalidate a page",
        "voucherify_client/lenient_json.py",
        "        return strict(repaired), replaced\n",
        "        raise ValueError\n",
        ("tests/unit/test_client_lenient_json.py", "tests/faults/test_broken_characters.py"),
    ),
    Defence(
        "tap: a stored event without a readable time gets that of its receipt",
        "tap_voucherify/webhooks/store_cursor.py",
        'activity["created_at"] = stored.received_at',
        "pass",
        (*STORE, "-k", "unreadable_time"),
    ),
    Defence(
        "tap: a time that UTC cannot express is unreadable",
        "voucherify_client/timestamps.py",
        "except (TypeError, ValueError, OverflowError):",
        "except (TypeError, ValueError):",
        (*STORE, "-k", "unreadable_time"),
    ),
    Defence(
        "receiver: an event in a file that nobody will find is not acknowledged",
        "tap_voucherify/webhooks/store.py",
        "if not self.is_in_place():",
        "if False:",
        (*RECEIVER, "-k", "store_that_is_lost"),
    ),
    Defence(
        "receiver: an event in a store that was restored is not acknowledged",
        "tap_voucherify/webhooks/store.py",
        "if not self.has_epoch(self.epoch) or self.last < self._written:",
        "if False:",
        (*RECEIVER, "-k", "store_that_is_lost"),
    ),
    Defence(
        "receiver: a store that may have been restored begins anew",
        "tap_voucherify/webhooks/store.py",
        "if found.fetchone() != (inode, 1):",
        "if False:",
        (*STORE, "-k", "after_a_restore"),
    ),
    Defence(
        "tap: a state that a restored store does not know is followed by polling",
        "tap_voucherify/webhooks/store_cursor.py",
        'known = store.has_epoch(str(saved.get("epoch")))',
        'known = saved.get("store") == store.id',
        (*STORE, "-k", "after_a_restore"),
    ),
    Defence(
        "certify: an export whose response was lost is looked for",
        "voucherify_sandbox/certify/cleanup.py",
        "found_exports = found_exports or _note_exports(probe)",
        "found_exports = True",
        (*CERTIFY, "-k", "export_whose"),
    ),
    Defence(
        "receiver: the oldest connection has a last moment to complete its headers",
        "tap_voucherify/webhooks/connections.py",
        "next(iter(self._waiting)).drop_soon()",
        "next(iter(self._waiting)).drop()",
        (*RECEIVER, "-k", "was_busy"),
    ),
    Defence(
        "receiver: headers have a deadline",
        "tap_voucherify/webhooks/connections.py",
        "self._waiting[self] = self.loop.call_later(HEADER_SECONDS, self.drop)",
        "self._waiting[self] = self.loop.call_later(3_600, self.drop)",
        (*RECEIVER, "-k", "half_a_request"),
    ),
    Defence(
        "receiver: bodies in flight have a bound",
        "tap_voucherify/webhooks/receiver.py",
        "if length > SMALL_BODY_BYTES and self._bytes_in_flight > MAX_BYTES_IN_FLIGHT:",
        "if False:",
        (*RECEIVER, "-k", "bodies_in_flight"),
    ),
    Defence(
        "receiver: long bodies are verified beside the event loop",
        "tap_voucherify/webhooks/receiver.py",
        "if len(body) <= SMALL_BODY_BYTES:",
        "if body:",
        (*RECEIVER, "-k", "does_not_stop_the_others"),
    ),
    Defence(
        "tap: counters that are JSON text are counted",
        "tap_voucherify/rewards/candidates.py",
        'if isinstance(value, str) and value.startswith("{"):',
        "if False:",
        (*TYPES, "-k", "costs_no_call"),
    ),
    Defence(
        "tap: metadata_as_json holds for a catalog that was discovered without it",
        "tap_voucherify/tap.py",
        "if self._has_metadata_as_json and self.input_catalog:",
        "if False:",
        (*TYPES, "-k", "costs_no_call"),
    ),
    Defence(
        "dlt: a tap that fails fails the run of dlt",
        "dlt_voucherify/plugins.py",
        "    _raise_for(tap.returncode, TAP)\n",
        "",
        (*DLT, "-k", "tap_that_fails"),
    ),
    Defence(
        "dlt: the tap reads what is selected only",
        "dlt_voucherify/source.py",
        'stream["stream"] in selected',
        "True",
        (*DLT, "-k", "left_out"),
    ),
    Defence(
        "dlt: of two versions of a row the later one stays",
        "dlt_voucherify/source.py",
        ', "dedup_sort": "desc"',
        "",
        (*DLT, "-k", "two_versions"),
    ),
    Defence(
        "dlt: a batch is done when the target has acknowledged it",
        "dlt_voucherify/plugins.py",
        'if not states or json.loadb(states[-1]) != messages[-1]["value"]:',
        "if False:",
        (*DLT, "-k", "acknowledges_less"),
    ),
    Defence(
        "dlt: a null column is there",
        "dlt_voucherify/destination.py",
        "{**nulls, **row}",
        "row",
        (*DLT, "-k", "null_clears"),
    ),
)


def source(defence: Defence) -> Path:
    """The file of this checkout that holds the defence."""
    package = defence.module.split("/")[0]
    return ROOT / FOLDERS.get(package, package.replace("_", "-")) / defence.module


def copies(defence: Defence, folder: Path) -> list[Path]:
    """The files to change in a copy of the plugins; each plugin contains the client."""
    if defence.module.startswith("voucherify_client/"):
        return [folder / plugin / defence.module for plugin in PLUGINS]
    return [folder / defence.module]


def switched_off(defence: Defence) -> str:
    """The text of the file without the defence.

    Raises:
        ValueError: the line does not occur exactly once, so the entry must be adapted.
    """
    text = source(defence).read_text()
    if text.count(defence.line) != 1:
        raise ValueError(f"{defence.name}: its line is not exactly once in {defence.module}")
    return text.replace(defence.line, defence.without)


def caught_by(defence: Defence) -> str | None:
    """The first test that fails without the defence; `None` if all pass."""
    with tempfile.TemporaryDirectory(prefix="defence") as folder:
        for package in (*PLUGINS, SANDBOX, BRIDGE):
            inside = FOLDERS.get(package, package.replace("_", "-"))
            shutil.copytree(ROOT / inside / package, Path(folder, package))
        for copy in copies(defence, Path(folder)):
            copy.write_text(switched_off(defence))
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", *defence.tests],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": folder},
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )
    red = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    return red[0].split(" ", 1)[1].split(" - ")[0] if red else None


def main() -> int:
    """Disable each selected defence; 0 if a test failed for every one."""
    options = argparse.ArgumentParser(prog="python -m voucherify_sandbox.torture.defences")
    options.add_argument("--only", default="", help="defences whose name contains this")
    options.add_argument("--document", type=Path, metavar="FILE", help="to write the table into")
    options.add_argument("--workers", type=int, default=os.cpu_count(), help="entries at once")
    given = options.parse_args()
    chosen = [defence for defence in DEFENCES if given.only in defence.name]
    table, missed = "| switched off | caught by |\n| --- | --- |\n", 0
    with ThreadPoolExecutor(given.workers) as pool:
        for defence, case in zip(chosen, pool.map(caught_by, chosen), strict=True):
            missed += case is None
            row = f"| {defence.name} | {f'`{case}`' if case else '**nothing**'} |"
            print(row, flush=True)
            table += f"{row}\n"
    if given.document:
        put(given.document, "defences", table)
    print(f"{len(chosen) - missed} passed, {missed} failed")
    return 1 if missed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
