from dataclasses import replace

import pytest

from sodcli.errors import RegistryError, UnknownNameError, UsageError
from sodcli.registry import RecipeSpec, Registry
from sodcli.training import config
from tests.training_kit import settings


@pytest.fixture
def plain(tmp_path):
    return {"model": "sdnet", "data": [str(tmp_path)]}


def with_recipes(registry, **tables):
    recipes = {name: RecipeSpec(name=name, table=table) for name, table in tables.items()}
    changed = {**registry.recipes, **recipes}
    return Registry(
        registry.models, registry.weights, changed, registry.datasets, registry.archives
    )


def model_for(name):
    """Return a model for the data of the recipe: clips, triples or pictures."""
    if name == "fgplg":
        return name
    return "stdnet" if name.startswith("stdnet") else "sdnet"


def test_every_recipe_of_the_register_is_valid(registry, plain):
    assert {"sdnet", "stdnet", "minet", "inspyrenet", "rcrnet"} <= registry.recipes.keys()
    for name in registry.recipes:
        wanted = {"recipe": name, "model": model_for(name)}
        assert config.resolve(registry, plain, wanted).recipe == name


def test_the_recipe_of_the_paper_is_the_default(registry, plain):
    resolved = config.resolve(registry, plain)
    assert (resolved.recipe, resolved.epochs, resolved.batch, resolved.lr) == (
        "sdnet",
        180,
        24,
        1e-3,
    )
    assert resolved.sizes == (480, 400, 240, 320)
    assert resolved.augmentation().border_crop == 14
    whole = {"epochs": 1, "batch": 1, "lr": 0.1, "size": 32, "loss": "bce"}
    without = config.resolve(registry, plain, {**whole, "recipe": ""})
    assert (without.recipe, without.augment, without.optimizer.groups) == ("", {}, ())


def test_options_override_the_file_and_the_file_the_recipe(registry, plain, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('epochs = 7\nlr = 1\n[schedule]\nname = "cosine"\n[augment]\nflip_ud = 0.0\n')
    resolved = config.resolve(registry, config.read_toml(path), {**plain, "lr": 0.5})
    assert (resolved.epochs, resolved.lr, resolved.batch) == (7, 0.5, 24)
    assert resolved.schedule == {"name": "cosine"}
    assert resolved.augmentation().flip_lr == 0.25
    assert resolved.augmentation().flip_ud == 0


def test_another_optimiser_keeps_the_groups_of_the_recipe_and_says_so(registry, plain):
    adam = config.resolve(registry, plain)
    assert config.kept_groups(registry, adam) == ()
    muon = config.resolve(registry, plain, {"optimizer": {"name": "muon"}})
    assert muon.optimizer == replace(adam.optimizer, name="muon")
    assert config.kept_groups(registry, muon) == (
        "optimizer muon in place of adam: the recipe's 3 parameter groups stay "
        "(groups = [...] replaces them); their weight decay is decoupled now",
    )
    own = {"optimizer": {"name": "muon", "groups": [{"weight_decay": 0.1}]}}
    assert config.kept_groups(registry, config.resolve(registry, plain, own)) == ()
    sgd = config.resolve(registry, plain, {"optimizer": {"name": "sgd"}})
    assert "decay" not in config.kept_groups(registry, sgd)[0]


def test_the_parts_of_the_built_in_recipes_share_their_groups(registry, plain):
    first, fourth = (
        config.resolve(registry, plain, {"recipe": f"sdnet-built-in{part}"}).optimizer
        for part in ("", "-4")
    )
    assert (first.name, fourth.name) == ("adamw", "muon")
    assert replace(first, name="muon") == fourth


@pytest.mark.parametrize(
    ("size", "sizes"),
    [(320, (480, 400, 240, 320)), (96, (144, 128, 64, 96)), (32, (48, 32, 32, 32))],
)
def test_scales_give_multiples_of_sixteen(tmp_path, size, sizes):
    assert settings(tmp_path, size=size, scales=[1.5, 1.25, 0.75, 1.0]).sizes == sizes


def test_folders_do_not_depend_on_the_working_folder(registry, plain, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "mine.pth").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    wanted = {"data": ["photos", "a=b"], "val": ["photos"], "init": "mine.pth"}
    resolved = config.resolve(registry, plain, wanted)
    assert resolved.data == (
        str(tmp_path / "photos"),
        f"{tmp_path / 'a'}={tmp_path / 'b'}",
    )
    assert resolved.val == (str(tmp_path / "photos"),)
    assert resolved.init == str(tmp_path / "mine.pth")
    assert config.resolve(registry, plain, {"init": "sdnet-duts"}).init == "sdnet-duts"


def test_a_written_config_reads_back_equal(registry, plain, tmp_path):
    for name in registry.recipes:
        wanted = {"recipe": name, "model": model_for(name)}
        resolved = config.resolve(registry, plain, wanted)
        path = tmp_path / "config.toml"
        path.write_text(resolved.toml(), encoding="utf-8")
        assert config.read_config(path) == resolved


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epcohs": 3}, "settings: unknown key 'epcohs'. Did you mean 'epochs'?"),
        ({"epochs": "many"}, "settings: epochs must be a whole number, not 'many'"),
        ({"epochs": 0}, "settings: epochs must be at least 1"),
        ({"size": 16}, "settings: size must be at least 32"),
        ({"lr": 0}, "settings: lr must be above 0"),
        ({"data": []}, "settings: data must name at least one folder"),
        ({"val": ["caf\udce9"]}, "settings: config.toml cannot hold the name of "),
        ({"ema": 1.0}, "settings: ema must be"),
        ({"holdout": 1.0}, "settings: holdout must be"),
        ({"seed": -1}, "settings: seed must be from 0 to 9.22337e+18, not -1"),
        ({"seed": 2**64}, "settings: seed must be from 0 to"),
        ({"optimizer": {"betas": [0.9, 1.0]}}, "settings: optimizer.betas must be at least 0 and"),
        ({"optimizer": {"momentum": -1.0}}, "settings: optimizer.momentum must be at least 0"),
        (
            {"optimizer": {"name": "sgd", "nesterov": True, "momentum": 0.0}},
            "optimizer: nesterov = true needs a momentum above 0",
        ),
        (
            {"optimizer": {"groups": [{"weight_decay": -1.0}]}},
            "settings: optimizer.groups.weight_decay must be at least 0",
        ),
        (
            {"schedule": {"name": "poly", "power": -1}},
            "schedule 'poly': power must be at least 0, not -1",
        ),
        ({"scales": []}, "settings: scales must have at least one factor"),
        ({"amp": "bf8"}, "settings: amp must be one of none, bf16, fp16, not 'bf8'"),
        ({"loss": "bse"}, "no loss named 'bse'. Did you mean 'bce'?"),
        ({"schedule": {"name": "cos"}}, "schedule: no schedule named 'cos'"),
        ({"augment": {"flip": 0.5}}, "augment: unknown key 'flip'"),
        ({"optimizer": {"groups": [{"match": "("}]}}, "optimizer.groups: bad pattern '('"),
        (
            {"optimizer": {"lr": 1.0}},
            "settings: unknown key 'optimizer.lr': the base learning rate",
        ),
        (
            {"optimizer": {"name": "sgd", "weight_decay": 0.1}},
            "settings: unknown key 'optimizer.weight_decay': it is one of the keys of groups",
        ),
        ({"optimizer": {"name": "lion"}}, "settings: optimizer.name must be one of"),
    ],
)
def test_wrong_settings_are_refused_by_name(tmp_path, changes, message):
    with pytest.raises(UsageError) as caught:
        settings(tmp_path, **changes)
    assert str(caught.value).startswith(message)


def test_a_model_must_be_named_and_known(registry, tmp_path):
    with pytest.raises(UsageError, match="add --model"):
        config.resolve(registry, {"data": [str(tmp_path)]})
    with pytest.raises(UnknownNameError, match="Did you mean 'sdnet'"):
        config.resolve(registry, {"model": "sdnt"})


def test_a_file_that_is_not_toml_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    with pytest.raises(UsageError, match="No such file"):
        config.read_toml(path)
    path.write_text("epochs = ")
    with pytest.raises(UsageError, match=r"mine\.toml"):
        config.read_toml(path)


def test_a_recipe_extends_its_base(registry, plain):
    mine = with_recipes(
        registry,
        short={"base": "sdnet", "epochs": 3},
        shorter={"base": "short", "epochs": 2},
        round={"base": "trip"},
        trip={"base": "round"},
    )
    resolved = config.resolve(mine, plain, {"recipe": "shorter"})
    assert (resolved.epochs, resolved.loss) == (2, "balanced-bce")
    with pytest.raises(RegistryError, match="leads back to itself"):
        config.resolve(mine, plain, {"recipe": "round"})


def test_resuming_accepts_the_same_settings_and_names_others(tmp_path):
    saved = settings(tmp_path)
    assert config.resume(saved) == (saved, ())
    same = {"model": "sdnet", "data": [str(tmp_path)], "recipe": "sdnet", "epochs": 2}
    assert config.resume(saved, {"batch": 2}, same) == (saved, ())
    with pytest.raises(UsageError) as caught:
        config.resume(saved, {"seed": 3, "schedule": {"gamma": 0.5}})
    assert "seed was 0, now 3" in str(caught.value)
    assert "schedule.gamma was 0.1, now 0.5" in str(caught.value)
    with pytest.raises(UsageError, match="epochs was 2, now 1: only more can follow"):
        config.resume(saved, {"epochs": 1})


def test_resuming_for_more_epochs_names_the_changes(tmp_path):
    saved = settings(tmp_path, schedule={"name": "cosine"})
    longer, remarks = config.resume(saved, {"epochs": 4, "validate_every": 2})
    assert (longer.epochs, longer.validate_every) == (4, 2)
    (stretched,) = remarks
    assert "the schedule now ends at epoch 4 instead of 2" in stretched
    assert "--schedule-end 2 keeps it" in stretched
    kept, remarks = config.resume(saved, {"epochs": 4, "schedule_end": 2})
    assert (kept.schedule_end, remarks) == (2, ())
    faster, remarks = config.resume(saved, {"lr": 0.5})
    assert faster.lr == 0.5
    assert remarks == ("lr was 0.001, now 0.5: the run goes on at another rate",)
    steady = settings(tmp_path, schedule={"name": "constant"})
    assert config.resume(steady, {"epochs": 4})[1] == ()
    steps = settings(tmp_path, schedule={"name": "multistep", "at": [3]})
    assert config.resume(steps, {"epochs": 4})[1] == ()
    held = replace(steps, schedule_end=1)  # its rate never falls
    _, (freed,) = config.resume(held, {"epochs": 4, "schedule_end": 4})
    assert "ends at epoch 4 instead of 1" in freed
