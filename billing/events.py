PLAN_CHANGED = "subscription.changed"
