"""A monthly budget, so that a forgotten GPU is noticed (AWS only, by configuration)."""

from aws_cdk import aws_budgets as budgets
from constructs import Construct

from infra.config import Config

_THRESHOLDS_PERCENT = (80, 100)


def add_budget(scope: Construct, config: Config, *, tag: str, limit_usd: int, email: str) -> None:
    """Tell ``email`` when what this deployment's ``tag`` marks costs parts of ``limit_usd`` in a month."""
    budget = budgets.CfnBudget.BudgetDataProperty(
        budget_name=config.deployment,
        budget_type="COST",
        time_unit="MONTHLY",
        budget_limit=budgets.CfnBudget.SpendProperty(amount=limit_usd, unit="USD"),
        cost_filters={"TagKeyValue": [f"user:{tag}${config.deployment}"]},
    )
    notices = [
        budgets.CfnBudget.NotificationWithSubscribersProperty(
            notification=budgets.CfnBudget.NotificationProperty(
                comparison_operator="GREATER_THAN",
                notification_type="ACTUAL",
                threshold=percent,
                threshold_type="PERCENTAGE",
            ),
            subscribers=[budgets.CfnBudget.SubscriberProperty(address=email, subscription_type="EMAIL")],
        )
        for percent in _THRESHOLDS_PERCENT
    ]
    budgets.CfnBudget(scope, "Budget", budget=budget, notifications_with_subscribers=notices)
