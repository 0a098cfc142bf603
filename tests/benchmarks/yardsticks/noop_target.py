"""A target on the Meltano SDK that ignores records."""

from singer_sdk import Sink, Target


class Nothing(Sink):
    def process_record(self, record, context):
        pass

    def process_batch(self, context):
        pass


class NoopTarget(Target):
    name = "target-noop"
    config_jsonschema = {"properties": {}}
    default_sink_class = Nothing


NoopTarget.cli()
