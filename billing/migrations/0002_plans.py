"""The plans of the five API documents."""

from django.db import migrations

# slug, name, family, API access, per minute, burst, per hour, per day
PLANS = [
    ("pipelines-builder", "Builder", "pipelines", True, 60, 100, None, None),
    ("pipelines-scale", "Scale", "pipelines", True, 300, 500, None, None),
    ("pipelines-enterprise", "Enterprise", "pipelines", True, None, None, None, None),
    ("agents-starter", "Starter", "agents", True, None, None, 1_000, None),
    ("agents-growth", "Growth", "agents", True, None, None, 10_000, None),
    ("agents-enterprise", "Enterprise", "agents", True, None, None, None, None),
    ("compliance-free", "Free", "compliance", False, None, None, None, None),
    ("compliance-starter", "Starter", "compliance", True, 100, 150, None, None),
    ("compliance-pro", "Pro", "compliance", True, 500, 750, None, None),
    ("compliance-enterprise", "Enterprise", "compliance", True, None, None, None, None),
    ("automation-free", "Free", "automation", True, 60, None, None, 1_000),
    ("automation-starter", "Starter", "automation", True, 120, None, None, 10_000),
    ("automation-pro", "Pro", "automation", True, 300, None, None, 50_000),
    ("automation-business", "Business", "automation", True, 600, None, None, 200_000),
]


def add_plans(apps, schema_editor):
    plan = apps.get_model("billing", "Plan")
    for slug, name, family, has_api_access, per_minute, burst, per_hour, per_day in PLANS:
        plan.objects.update_or_create(
            slug=slug,
            defaults={
                "name": name,
                "family": family,
                "has_api_access": has_api_access,
                "per_minute": per_minute,
                "per_minute_burst": burst,
                "per_hour": per_hour,
                "per_day": per_day,
            },
        )


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]

    operations = [migrations.RunPython(add_plans, migrations.RunPython.noop)]
