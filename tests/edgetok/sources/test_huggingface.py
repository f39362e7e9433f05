"""Transformers directories: planned on fake parameters, filled by name, never run."""

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor

from edgetok.errors import BrokenWeights, UnsafeModel, UnsupportedModel
from edgetok.model import Component
from edgetok.sources import load_model

transformers = pytest.importorskip("transformers", reason="needs edgetok[hf]")
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
DINO = {key: value for key, value in SMALL.items() if key != "intermediate_size"}
IMAGE = {"image_size": 32, "patch_size": 8}
T = transformers
ZOO = {
    "deit": lambda: T.DeiTForImageClassificationWithTeacher(T.DeiTConfig(**SMALL, **IMAGE)),
    "clip-vision": lambda: T.CLIPVisionModel(T.CLIPVisionConfig(**SMALL, **IMAGE)),
    "siglip-vision": lambda: T.SiglipVisionModel(T.SiglipVisionConfig(**SMALL, **IMAGE)),
    "dinov2-registers": lambda: T.Dinov2WithRegistersModel(T.Dinov2WithRegistersConfig(**DINO, **IMAGE)),
    "dinov3": lambda: T.DINOv3ViTModel(T.DINOv3ViTConfig(**SMALL, **IMAGE)),
    "beit": lambda: T.BeitForImageClassification(T.BeitConfig(**SMALL, **IMAGE)),
    "bert": lambda: T.BertForSequenceClassification(T.BertConfig(**SMALL, vocab_size=100)),
    "roberta": lambda: T.RobertaForTokenClassification(
        T.RobertaConfig(**SMALL, vocab_size=100, max_position_embeddings=66)
    ),
    "llama": lambda: T.LlamaForCausalLM(T.LlamaConfig(**SMALL, vocab_size=100, tie_word_embeddings=True)),
}


def captured(component: Component) -> torch.export.ExportedProgram:
    """Captured before any weight is read, then filled by name."""
    batch = torch.export.Dim("batch")
    shapes = {name: {0: batch} for name in component.inputs}
    exported = torch.export.export(component.module, (), dict(component.inputs), dynamic_shapes=shapes)
    assert component.weights is not None
    weights = component.weights()
    for name in list(exported.state_dict):
        exported.state_dict[name] = weights[name]
    return exported


@pytest.mark.parametrize("name", ZOO)
def test_fake_capture_filled_later_equals_the_real_model(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    real = ZOO[name]().eval()
    real.save_pretrained(tmp_path)
    component = load_model(str(tmp_path)).only
    assert all(isinstance(parameter.data, FakeTensor) for parameter in component.module.parameters())
    assert not any(isinstance(buffer, FakeTensor) for buffer in component.module.buffers())
    ours = captured(component).module()(**component.inputs)
    with torch.no_grad():
        theirs = real(**component.inputs)
    for key in ours:
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-6, atol=1e-6)


def test_what_an_image_classifier_says_of_itself(vit_directory: Path) -> None:
    model = load_model(str(vit_directory))
    assert (model.name, model.labels, model.licence) == ("vit", ("cat", "dog", "eel"), "apache-2.0")
    assert model.only.role == "classifier"
    assert model.only.dynamic == {"pixel_values": {0: "batch"}}
    assert model.only.inputs["pixel_values"].shape == (2, 3, 32, 32)
    again = load_model(str(vit_directory)).only.inputs["pixel_values"]
    assert torch.equal(again, model.only.inputs["pixel_values"])


def test_base_model_where_the_config_names_no_class(vit_directory: Path, tmp_path: Path) -> None:
    directory = edited(vit_directory, tmp_path, lambda config: config.pop("architectures"))
    component = load_model(str(directory)).only
    assert type(component.module).__name__ == "ViTModel"
    assert component.role == "encoder"


def test_no_socket_is_opened(vit_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    component = load_model(str(vit_directory)).only
    assert component.weights is not None
    component.weights()


def edited(source: Path, target: Path, change: Any) -> Path:
    directory = target / "copy"
    shutil.copytree(source, directory)
    config = json.loads((directory / "config.json").read_text())
    change(config)
    (directory / "config.json").write_text(json.dumps(config))
    return directory


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.update(architectures=["NoSuchModel"]),
        lambda config: config.update(architectures=["logging"]),
        lambda config: config.update(model_type="no-such-type"),
        lambda config: config.pop("model_type"),
        lambda config: config.update(num_hidden_layers=10**9),
        lambda config: config.update(quantization_config={"quant_method": "bitsandbytes"}),
        lambda config: config.update(hidden_size="wide"),
    ],
)
def test_configs_that_cannot_be_built(vit_directory: Path, tmp_path: Path, change: Any) -> None:
    with pytest.raises(UnsupportedModel):
        load_model(str(edited(vit_directory, tmp_path, change)))


def test_code_that_comes_along_is_not_run(vit_directory: Path, tmp_path: Path) -> None:
    change = {"model_type": "own", "auto_map": {"AutoConfig": "code.Own", "AutoModel": "code.OwnModel"}}
    directory = edited(vit_directory, tmp_path, lambda config: config.update(change))
    marker = tmp_path / "ran"
    (directory / "code.py").write_text(f"open({str(marker)!r}, 'w')")
    with pytest.raises(UnsupportedModel):
        load_model(str(directory))
    assert not marker.exists()


def test_generation_code_that_comes_along_is_not_run(tmp_path: Path) -> None:
    ZOO["llama"]().save_pretrained(tmp_path)
    marker = tmp_path / "ran"
    (tmp_path / "custom_generate").mkdir()
    for file in ("custom_generate/generate.py", "modeling_llama.py"):
        (tmp_path / file).write_text(f"open({str(marker)!r}, 'w')")
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_llama.LlamaForCausalLM", "AutoConfig": "modeling_llama.C"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    component = load_model(str(tmp_path)).only
    assert component.weights is not None
    component.weights()
    assert type(component.module).__module__.startswith("transformers.")
    assert not marker.exists()


def test_missing_weights_are_an_error(vit_directory: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    directory = edited(vit_directory, tmp_path, lambda _: None)
    tensors = load_file(directory / "model.safetensors")
    for name in [name for name in tensors if name.startswith("classifier")]:
        del tensors[name]
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    component = load_model(str(directory)).only
    assert component.weights is not None
    with pytest.raises(BrokenWeights, match=r"missing classifier\.bias.*random numbers"):
        component.weights()


def test_weights_of_another_shape_are_an_error(vit_directory: Path, tmp_path: Path) -> None:
    directory = edited(vit_directory, tmp_path, lambda config: config.update(intermediate_size=128))
    component = load_model(str(directory)).only
    assert component.weights is not None
    with pytest.raises(BrokenWeights):
        component.weights()


def test_truncated_weights_are_noticed_at_once(vit_directory: Path, tmp_path: Path) -> None:
    directory = edited(vit_directory, tmp_path, lambda _: None)
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BrokenWeights, match="truncated"):
        load_model(str(directory))


def test_only_pickled_weights(vit_directory: Path, tmp_path: Path) -> None:
    directory = edited(vit_directory, tmp_path, lambda _: None)
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    with pytest.raises(UnsafeModel, match="save_file"):
        load_model(str(directory))


def test_encoder_decoders_are_several_graphs(tmp_path: Path) -> None:
    config = T.T5Config(d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, vocab_size=50)
    T.T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModel, match="encoder-decoder"):
        load_model(str(tmp_path))


def test_padding_is_part_of_text_examples(tmp_path: Path) -> None:
    ZOO["bert"]().save_pretrained(tmp_path)
    mask = load_model(str(tmp_path)).only.inputs["attention_mask"]
    assert mask[0].all()
    assert not mask[1].all()
