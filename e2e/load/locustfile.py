"""The load of the original service's test: single users, small and large batches, and a few management requests.

    locust -f e2e/load/locustfile.py --users 100 --spawn-rate 10 --host http://localhost:8000

Environment variables: RECKON_LOAD_KEY, an API key, where warming and invalidation need one; RECKON_LOAD_USERS, the largest
user ID that is requested (1000).
"""

import os
import random

from locust import FastHttpUser, between, task

KEY = os.environ.get("RECKON_LOAD_KEY")
LARGEST_USER_ID = int(os.environ.get("RECKON_LOAD_USERS", "1000"))


def user_ids(count):
    return ",".join(str(random.randint(1, LARGEST_USER_ID)) for _ in range(count))


class Client(FastHttpUser):
    """One client. The numbers are weights: of 18 requests, 10 ask for one user."""

    wait_time = between(1, 3)
    default_headers = {"Authorization": f"Bearer {KEY}"} if KEY else {}

    # Requests are grouped by `name`: without it every user ID is a row of its own in the report.

    @task(10)
    def recommend(self):
        self.client.get(f"/recommend/{user_ids(1)}", name="/recommend/{user_id}")

    @task(3)
    def batch_of_5(self):
        self.client.get(f"/batch-recommend?user_ids={user_ids(5)}", name="/batch-recommend (5 users)")

    @task(2)
    def batch_of_20(self):
        self.client.get(f"/batch-recommend?user_ids={user_ids(20)}", name="/batch-recommend (20 users)")

    @task(1)
    def health(self):
        self.client.get("/health")

    @task(1)
    def warm(self):
        self.client.post(f"/warm-cache?user_ids={user_ids(10)}", name="/warm-cache (10 users)")

    @task(1)
    def invalidate(self):
        self.client.post(f"/invalidate-cache/{user_ids(1)}", name="/invalidate-cache/{user_id}")
