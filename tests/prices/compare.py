"""Compares what a call costs here with LiteLLM's calculator and with genai-prices: `cargo xtask prices`.

Two books are asked: the embedded one, and LiteLLM's price file as it is imported. Each model that LiteLLM and
genai-prices both know is asked about a set of usages, in each tariff. Where the two agree with each other, to the
nano-dollar, the books must agree with them. A difference that is not among EXPLAINED fails.
"""

import collections
import datetime
import json
import logging
import math
import subprocess
import sys
import warnings
from decimal import Decimal
from pathlib import Path

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

import litellm  # noqa: E402
from genai_prices import Usage as GenaiUsage  # noqa: E402
from genai_prices.data import providers  # noqa: E402
from litellm.types.utils import (  # noqa: E402
    CacheCreationTokenDetails,
    CompletionTokensDetailsWrapper,
    PromptTokensDetailsWrapper,
    Usage,
)

# The day of the embedded book, at noon: no list of hours is cheap then.
NOW = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.timezone.utc)
NANO = Decimal(10) ** 9

# How each project calls the same provider: LiteLLM, genai-prices, and the embedded book where it has it.
PROVIDERS = {
    "openai": ("openai", "openai"),
    "anthropic": ("anthropic", "anthropic"),
    "gemini": ("google", "google"),
    "mistral": ("mistral", "mistral"),
    "xai": ("x-ai", "xai"),
    "cohere": ("cohere", "cohere"),
    "cohere_chat": ("cohere", "cohere"),
    "deepseek": ("deepseek", "deepseek"),
    "groq": ("groq", "groq"),
    "bedrock": ("aws", "bedrock"),
    "bedrock_converse": ("aws", "bedrock"),
    "perplexity": ("perplexity", "perplexity"),
    "azure": ("azure", None),
    "fireworks_ai": ("fireworks", None),
    "together_ai": ("together", None),
    "novita": ("novita", None),
    "openrouter": ("openrouter", None),
    "cerebras": ("cerebras", None),
    "moonshot": ("moonshotai", None),
    "minimax": ("minimax", None),
    "zai": ("zai", None),
    "voyage": ("voyageai", None),
    "ovhcloud": ("ovhcloud", None),
    "cloudflare": ("cloudflare", None),
    "databricks": ("databricks", None),
}

# Input, cache read, cache write of 5 minutes and 1 hour, audio and image input; output, reasoning, audio output.
USAGES = [
    (1, 0, 0, 0, 0, 0, 1, 0, 0),
    (1_000, 0, 0, 0, 0, 0, 500, 0, 0),
    (123_457, 0, 0, 0, 0, 0, 0, 0, 0),
    (0, 0, 0, 0, 0, 0, 98_765, 0, 0),
    (93, 1_024, 0, 0, 0, 0, 46, 0, 0),
    (7, 0, 2_048, 0, 0, 0, 11, 0, 0),
    (7, 0, 0, 2_048, 0, 0, 11, 0, 0),
    (501, 1_003, 207, 311, 0, 0, 701, 0, 0),
    (12, 0, 0, 0, 0, 0, 300, 1_700, 0),
    (100, 0, 0, 0, 400, 0, 50, 0, 0),
    (100, 0, 0, 0, 0, 400, 50, 0, 0),
    (100, 0, 0, 0, 0, 0, 50, 0, 450),
    *((prompt, 0, 0, 0, 0, 0, 777, 0, 0) for size in (32, 128, 200, 256, 272) for prompt in (size * 1000, size * 1000 + 1)),
    (100_000, 180_001, 0, 0, 0, 0, 777, 0, 0),
    (100_001, 100_000, 80_000, 0, 0, 0, 777, 0, 0),
]
TIERS = ["standard", "batch", "flex", "priority"]
# What genai-prices wants to be told of a tariff.
CONTEXTS = {"batch": {"processing": "batch"}, "flex": {"service_tier": "flex"}, "priority": {"service_tier": "priority"}}

# What is known to differ although both agree: a test of model, tariff and usage. docs/design.md says why.
EXPLAINED = [
    ("cheaper hours", lambda model, tier, tokens: "deepseek-flash" in model or "deepseek-v4-" in model),
    ("a cache price that is in no file", lambda model, tier, tokens: model.startswith("fireworks_ai/") and tokens[1]),
    ("less than a nano-dollar", lambda model, tier, tokens: model.startswith("databricks/") and sum(tokens) == 2),
]


def litellm_usage(tokens):
    read, write_5m, write_1h, audio, image = tokens[1:6]
    reasoning, audio_out = tokens[7:]
    writes = CacheCreationTokenDetails(ephemeral_5m_input_tokens=write_5m, ephemeral_1h_input_tokens=write_1h)
    return Usage(
        prompt_tokens=sum(tokens[:6]),
        completion_tokens=sum(tokens[6:]),
        total_tokens=sum(tokens),
        prompt_tokens_details=PromptTokensDetailsWrapper(
            text_tokens=tokens[0],
            cached_tokens=read,
            cache_creation_tokens=write_5m + write_1h,
            cache_creation_token_details=writes if write_5m + write_1h else None,
            audio_tokens=audio,
            image_tokens=image,
        ),
        completion_tokens_details=CompletionTokensDetailsWrapper(
            text_tokens=tokens[6], reasoning_tokens=reasoning, audio_tokens=audio_out
        ),
    )


def litellm_cost(model, provider, tier, tokens):
    batch = tier == "batch"
    parts = litellm.cost_per_token(
        model=model,
        custom_llm_provider=provider,
        usage_object=litellm_usage(tokens),
        service_tier=None if tier in ("standard", "batch") else tier,
        call_type="retrieve_batch" if batch else "completion",
    )
    return sum(Decimal(part) for part in parts) * NANO


def genai_cost(provider, model, tier, tokens):
    named = {
        "cache_read_tokens": tokens[1],
        "cache_write_tokens": tokens[2] + tokens[3],
        "cache_write_1h_tokens": tokens[3],
        "input_audio_tokens": tokens[4],
        "input_image_tokens": tokens[5],
        "output_audio_tokens": tokens[8],
    }
    usage = GenaiUsage(
        input_tokens=sum(tokens[:6]), output_tokens=sum(tokens[6:]), **{key: n for key, n in named.items() if n}
    )
    price = model.calc_price(usage, provider, genai_request_timestamp=NOW, price_context=CONTEXTS.get(tier))
    return price.total_price * NANO


def known_by_both():
    """Each model of both: LiteLLM's name and provider, that of genai-prices, and the provider's own name for it."""
    by_id = {provider.id: provider for provider in providers}
    for name, entry in sorted(litellm.model_cost.items()):
        ours = entry.get("litellm_provider")
        if ours not in PROVIDERS or entry.get("mode") not in ("chat", "completion", "responses", "embedding"):
            continue
        genai = by_id.get(PROVIDERS[ours][0])
        short = name.removeprefix(ours.removesuffix("_chat").removesuffix("_converse") + "/")
        found = genai and genai.find_model(short, all_providers=providers)
        if found:
            yield name, ours, genai, found, short


def has_tier(entry, found, tier):
    """Whether both lists have a price of their own for the tariff; otherwise each makes up what holds."""
    suffix = {"batch": "_batches"}.get(tier, f"_{tier}")
    theirs = any(variant.when == CONTEXTS.get(tier) for variant in found.price_variants or [])
    return tier == "standard" or theirs and any(key.endswith(suffix) for key in entry)


def attempt(call, *arguments):
    try:
        return call(*arguments)
    except Exception:  # noqa: BLE001  # either project refuses usages that a model cannot have, by many exceptions
        return None


def questions():
    for name, ours, genai, found, short in known_by_both():
        for tier in TIERS:
            if has_tier(litellm.model_cost[name], found, tier):
                for tokens in USAGES:
                    yield name, ours, genai, found, short, tier, tokens


def answers(program, book, lines):
    command = [program] if book == "embedded" else [program, "--litellm", str(price_file())]
    run = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    print(run.stderr, end="")
    return [None if line == "-" else int(line) for line in run.stdout.split()]


def price_file():
    return Path(litellm.__file__).with_name("model_prices_and_context_window_backup.json")


def line(model, tier, tokens):
    return f"{model} {tier} {int(NOW.timestamp())} {' '.join(map(str, tokens))} 0"


def explained(model, tier, tokens):
    return next((why for why, test in EXPLAINED if test(model, tier, tokens)), None)


def main(program):
    litellm.model_cost = json.loads(price_file().read_text())
    asked = list(questions())
    theirs = [
        (attempt(litellm_cost, name, ours, tier, tokens), attempt(genai_cost, genai, found, tier, tokens))
        for name, ours, genai, found, short, tier, tokens in asked
    ]
    own = {
        "embedded": [short if PROVIDERS[ours][1] else None for _, ours, _, _, short, _, _ in asked],
        "imported": [name for name, *_ in asked],
    }
    print(f"models that both know: {len({name for name, *_ in asked})}; questions: {len(asked)}")
    both = [one is not None and other is not None for one, other in theirs]
    agree = [both[i] and abs(theirs[i][0] - theirs[i][1]) < Decimal("0.01") for i in range(len(asked))]
    print(f"answered by both: {sum(both)}; they agree: {sum(agree)}")
    failures = 0
    for book, names in own.items():
        places = [i for i, name in enumerate(names) if name]
        costs = dict(zip(places, answers(program, book, [line(names[i], *asked[i][5:]) for i in places])))
        failures += report(book, names, costs, asked, theirs, agree)
    sys.exit(1 if failures else 0)


def report(book, names, costs, asked, theirs, agree):
    same, models, different, sides = 0, set(), collections.Counter(), collections.Counter()
    examples = {}
    for i, cost in costs.items():
        tier, tokens = asked[i][5:]
        if cost is None:
            continue
        models.add(names[i])
        if agree[i]:
            # A part of a nano-dollar below what a float can show is no part.
            expected = math.ceil(theirs[i][1])
            if cost == expected:
                same += 1
                continue
            why = explained(names[i], tier, tokens) or "NOT EXPLAINED"
            different[why, names[i], tier] += 1
            examples.setdefault((why, names[i], tier), (tokens, cost, expected))
        elif all(value is not None for value in theirs[i]):
            near = [abs(cost - value) < 1 for value in theirs[i]]
            sides["LiteLLM" if near[0] else "genai-prices" if near[1] else "neither"] += 1
    print(f"\n{book}: {len(models)} models; equal where both agree: {same}; different: {sum(different.values())}")
    print(f"  where they do not agree, equal to: {dict(sides)}")
    for (why, name, tier), count in different.most_common(60):
        print(f"  {why}: {name} {tier}: {count}, such as {examples[why, name, tier]}")
    return sum(count for (why, *_), count in different.items() if why == "NOT EXPLAINED")


if __name__ == "__main__":
    main(sys.argv[1])
