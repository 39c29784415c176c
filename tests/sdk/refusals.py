"""Every refusal: which class is raised, how often the client tried, and how long it waited."""

from checks import answered, check
from clients import CLIENTS, PLAIN, OpenAi
from gateway import limit

RATE = dict(status=429, error="RateLimitError", anthropic="rate_limit_error")
REQUESTS = dict(RATE, openai=("requests", "rate_limit_exceeded"))
TOKENS = dict(RATE, openai=("tokens", "rate_limit_exceeded"))
SPENT = dict(RATE, openai=("insufficient_quota", "insufficient_quota"))


def invalid(code):
    kind = "invalid_request_error"
    return dict(status=400, error="BadRequestError", openai=(kind, code), anthropic=kind)


def of_status(run, status, openai, anthropic):
    return dict(status=status, error=run.client.classes[status], openai=openai, anthropic=anthropic)


def too_large(run):
    return of_status(run, 413, ("invalid_request_error", "request_too_large"), "request_too_large")


def overloaded(run):
    return of_status(run, 503, ("server_error", "overloaded"), "overloaded_error")


@check()
def a_rate_with_a_short_wait_is_waited_for(run):
    # Without being told, a client waits at most half a second before it tries again.
    with run.service(limit("requests", 1, "3s")) as service:
        service.ask()
        assert service.ask().text == "w0 w1 w2 "
        return answered(service.relay.attempts, [429, 200])


@check()
def a_rate_that_stays_full_is_tried_three_times(run):
    with run.service(limit("tokens", 10_000, "1m", scope="org")) as service:
        with service.gateway.held(cap=9_000):
            refused = service.refused(cap=4_000)
        refused.expect_header("x-should-retry", None)
        return refused.expect(**TOKENS, attempts=3)


@check()
def a_wait_above_a_minute_is_not_waited_for(run):
    with run.service(limit("requests", 1, "10m")) as service:
        service.ask()
        refused = service.refused()
        refused.expect_header("x-should-retry", "false")
        refused.expect_wait(500, 660)
        return refused.expect(**REQUESTS, attempts=1)


@check(PLAIN, clients=[client for client in CLIENTS if client.has_sixty_second_rule])
def without_x_should_retry_the_same_wait_is_ignored(run):
    # Not about the gateway: it shows that the check above is about a client that would not have waited.
    with run.service(limit("requests", 1, "10m")) as service:
        service.ask()
        service.relay.hidden = {"x-should-retry"}
        attempts = service.refused().attempts
        took = attempts[-1].arrived - attempts[0].answered
        assert len(attempts) == 3 and took < 60, f"{len(attempts)} attempts in {took:.1f} s"
        return f"RateLimitError, 3 tries in {took:.1f} s"


@check()
def a_spent_budget_is_not_retried(run):
    with run.service(limit("requests", 1, "1d")) as service:
        service.ask()
        refused = service.refused()
        refused.expect_wait(80_000, 100_000)
        return refused.expect(**SPENT, attempts=1)


@check()
def a_budget_that_never_resets_is_not_retried(run):
    with run.service(limit("requests", 1, "lifetime")) as service:
        service.ask()
        refused = service.refused()
        refused.expect_header("retry-after", None)
        return refused.expect(**SPENT, attempts=1)


@check()
def a_spent_budget_is_402_by_choice(run):
    with run.service(limit("requests", 1, "1d") + "[policy]\nspent_status = 402\n") as service:
        service.ask()
        expected = of_status(run, 402, ("insufficient_quota", "insufficient_quota"), "billing_error")
        return service.refused().expect(**expected, attempts=1)


@check()
def what_never_fits_is_not_retried(run):
    with run.service(limit("tokens", 100, "2s")) as service:
        refused = service.refused(cap=5_000)
        refused.expect_header("retry-after", None)
        return refused.expect(**too_large(run), attempts=1)


@check()
def a_bound_too_wide_is_not_retried(run):
    # Two thousand bytes of input are at most as many tokens and probably a quarter; the limit is between these.
    with run.service(limit("tokens", 1_000, "2s")) as service:
        refused = service.refused(prompt="word " * 400)
        refused.expect_header("retry-after", None)
        assert "input_estimate" in str(refused.error), refused.error
        return refused.expect(**TOKENS, attempts=1)


@check(PLAIN)
def a_body_too_long_is_not_retried(run):
    with run.service("[policy]\ninspect_bytes = 100\n") as service:
        return service.refused(prompt="word " * 40).expect(**too_large(run), attempts=1)


@check()
def calls_at_once_are_tried_three_times(run):
    with run.service(limit("concurrency", 1, scope="org")) as service:
        with service.gateway.held(cap=10):
            return service.refused().expect(**overloaded(run), attempts=3)


@check()
def a_place_that_is_free_again_is_taken(run):
    with run.service(limit("concurrency", 1, scope="org")) as service:
        with service.gateway.held(cap=10) as connection:
            service.end_once_refused(connection)
            assert service.ask().text == "w0 w1 w2 "
        return answered(service.relay.attempts, [503, 200])


@check(PLAIN)
def a_full_store_is_tried_three_times(run):
    with run.service(limit("requests", 100, "1m") + "[policy]\nmax_reservations = 1\n") as service:
        with service.gateway.held(cap=10):
            return service.refused().expect(**overloaded(run), attempts=3)


@check()
def an_unknown_key_is_not_retried(run):
    with run.service() as service:
        expected = ("invalid_request_error", "invalid_api_key")
        refused = service.refused(key="sk-nobody")
        return refused.expect(401, "AuthenticationError", expected, "authentication_error", attempts=1)


@check()
def a_model_without_a_price_is_not_retried(run):
    with run.service(limit("cost", "1.00", "1m")) as service:
        refused = service.refused(model="no-such-model")
        assert "no-such-model" in str(refused.error), refused.error
        return refused.expect(**invalid("model_not_priced"), attempts=1)


@check()
def a_cap_that_is_no_number_is_not_retried(run):
    with run.service(limit("tokens", 1_000, "1m")) as service:
        refused = service.refused(extra_body={"max_tokens": "many"})
        assert "max_tokens" in str(refused.error), refused.error
        return refused.expect(**invalid("invalid_request"), attempts=1)


@check(PLAIN)
def a_cap_above_that_of_the_route_is_not_retried(run):
    with run.service('[[route]]\npath = "/v1/**"\nmax_output = 10\non_over = "refuse"\n') as service:
        return service.refused(cap=11).expect(**invalid("output_cap_exceeded"), attempts=1)


@check(PLAIN, clients=[OpenAi])
def responses_and_embeddings_are_refused_alike(run):
    with run.service(limit("requests", 1, "10m")) as service:
        service.ask()
        client = OpenAi.client(service.relay.url, "sk-ann")
        calls = [
            lambda: client.responses.create(model=OpenAi.model, max_output_tokens=20, input="Hello"),
            lambda: client.embeddings.create(model="text-embedding-3-small", input="Hello"),
        ]
        for call in calls:
            service.relay.attempts.clear()
            outcome = service.refusal_of(call).expect(**REQUESTS, attempts=1)
        return outcome
