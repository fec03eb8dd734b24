"""What watches the rest: alarms, a dashboard, a budget."""

from constructs import Construct

from infra.config import Config
from infra.constructs.alarms import Alarms
from infra.constructs.budget import add_budget
from infra.constructs.dashboard import add_dashboard
from infra.constructs.publish import publish
from infra.outputs import Output
from infra.routes import creating_routes
from infra.stacks.api import ApiStack
from infra.stacks.base import DEPLOYMENT_TAG, BaseStack
from infra.stacks.data import DataStack
from infra.stacks.engine import EngineStack


class OpsStack(BaseStack):
    """Depends on everything; nothing depends on it."""

    def __init__(
        self, scope: Construct, config: Config, *, api: ApiStack, engine: EngineStack, data: DataStack
    ) -> None:
        super().__init__(scope, config, "ops", "Alarms and dashboard")
        alarms = Alarms(self, "Alarms", config)
        alarms.watch_dead_letters(engine.dead_letters)
        alarms.watch_queue(engine.admit_queue)
        alarms.watch_outcomes(engine.queues.outcome)
        alarms.watch_deliveries(engine.webhooks.queue)
        alarms.watch_api(api.api)
        alarms.watch_creating(api.api, creating_routes())
        alarms.watch_jobs()
        alarms.watch_functions((*engine.watched, api.token, api.docs))
        alarms.watch_throttles((*engine.watched, api.token, api.docs, *api.dialects), data.table)
        alarms.watch_machine("AssetIntake", engine.intake)
        alarms.watch_machine("Enhancement", engine.enhancement)
        alarms.watch_machine("FanOut", engine.fan_out)
        if config.has_gpu and not config.local:
            alarms.watch_endpoint()
        add_dashboard(
            self, config, api=api.api, queue=engine.admit_queue, machine=engine.enhancement, alarms=alarms.all
        )
        if not config.local and config.monthly_budget_usd and config.alarm_email:
            add_budget(self, config, tag=DEPLOYMENT_TAG, limit_usd=config.monthly_budget_usd, email=config.alarm_email)
        publish(self, Output.ALARM_TOPIC_ARN, alarms.topic.topic_arn)
