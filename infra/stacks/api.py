"""What clients reach: the REST API, the dialects' functions, the token endpoint, the firewall."""

from constructs import Construct

from infra.config import Config
from infra.constructs.api_functions import DialectFunction, docs_function, token_function
from infra.constructs.custom_domain import CustomDomain
from infra.constructs.firewall import Firewall
from infra.constructs.publish import publish
from infra.constructs.rest_api import RestApi
from infra.outputs import Output
from infra.routes import FALLBACK_FUNCTION, OWN_ROUTES, api_prefixes, api_routes
from infra.stacks.base import BaseStack
from infra.stacks.data import DataStack
from infra.stacks.engine import EngineStack
from lambdas.dialects.registry import DIALECTS


class ApiStack(BaseStack):
    """One function for each dialect, all behind one API."""

    def __init__(self, scope: Construct, config: Config, *, data: DataStack, engine: EngineStack) -> None:
        super().__init__(scope, config, "api", "REST API")
        dialects = {
            dialect.function: DialectFunction(
                self,
                config,
                dialect=dialect,
                table=data.table,
                audio=data.audio,
                data_key=data.data_key,
                signing_key=data.signing_key,
                admit_queue=engine.admit_queue,
                queues=engine.queues,
                deliveries=engine.webhooks.queue,
                fetching=engine.fetching.queue,
                webhook_key=data.webhook_key,
            )
            for dialect in DIALECTS
        }
        self.dialects = tuple(made.api for made in dialects.values())
        self.token = token_function(self, config, table=data.table, signing_key=data.signing_key)
        self.docs = docs_function(self, config)
        rest = RestApi(
            self,
            "Rest",
            config,
            functions={made.api.name: made.api for made in dialects.values()}
            | {made.name: made for made in (self.token, self.docs)},
            routes=api_routes(),
            own_routes=OWN_ROUTES,
            prefixes=api_prefixes(),
            fallback=FALLBACK_FUNCTION,
        )
        self.api = rest.api
        if not config.local:
            self._add_edge(config)
        gateway = f"https://{self.api.rest_api_id}.execute-api.{self.region}.{self.url_suffix}/{config.stage}"
        publish(self, Output.BASE_URL, config.public_base_url or gateway)
        publish(self, Output.REST_API_ID, self.api.rest_api_id)
        publish(self, Output.STAGE_NAME, config.stage)
        publish(self, Output.PRESIGN_ROLE_ARN, dialects[FALLBACK_FUNCTION].presign_role.role_arn)

    def _add_edge(self, config: Config) -> None:
        Firewall(self, "Firewall", config, stage=self.api.deployment_stage)
        if config.domain_name and config.certificate_arn:
            CustomDomain(
                self,
                "CustomDomain",
                api=self.api,
                domain_name=config.domain_name,
                certificate_arn=config.certificate_arn,
            )
