"""Architectures that hear and read: audio, text and time series."""

from __future__ import annotations

from functools import partial
from operator import attrgetter

import torch
from torch import Tensor

from edgetok.testing.architectures.architecture import Architecture, Inputs, drawn
from edgetok.testing.architectures.pictures import SIZES

TOKENS = 24
TEXT = {**SIZES, "vocab_size": 64}
PLACED = {**TEXT, "max_position_embeddings": 40}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
WAVES = {
    **SIZES, "conv_dim": [16, 16], "conv_stride": [5, 4], "conv_kernel": [5, 4], "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "vocab_size": 32,
}  # fmt: skip
CODER = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2, "vocab_size": 64,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
}  # fmt: skip
WHISPER = {**CODER, **SPECIAL, "max_source_positions": TOKENS, "num_mel_bins": 8, "decoder_start_token_id": 1}
MODERN = {**TEXT, **SPECIAL, "cls_token_id": 1, "sep_token_id": 2}
SERIES = {
    "context_length": 64, "patch_length": 4, "patch_stride": 4, "d_model": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "ffn_dim": 48, "prediction_length": 8,
}  # fmt: skip
MOONSHINE = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "encoder_num_hidden_layers": 2,
    "decoder_num_hidden_layers": 1, "encoder_num_attention_heads": 2, "decoder_num_attention_heads": 2,
    "encoder_num_key_value_heads": 2,
}  # fmt: skip


def _drawn(name: str, *shape: int) -> dict[str, Tensor]:
    return {name: drawn(*shape)}


def _words() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {"input_ids": torch.randint(3, 64, (2, TOKENS), generator=generator)}


def _padded() -> dict[str, Tensor]:
    """Two sequences of 24 token ids; the first is padded from its 17th on."""
    real = torch.ones(2, TOKENS, dtype=torch.int64)
    real[0, 16:] = 0
    return {**_words(), "attention_mask": real}


def _series(channels: int) -> Inputs:
    return partial(_drawn, "past_values", 2, 64, channels)


_encoder = attrgetter("encoder")
_sound = partial(_drawn, "input_values", 2, 600)

ARCHITECTURES = (
    Architecture("AST", "audio", "ASTForAudioClassification", "ASTConfig",
                 {**SIZES, "patch_size": 8, "frequency_stride": 8, "time_stride": 8, "max_length": 40,
                  "num_mel_bins": 40}, partial(_drawn, "input_values", 2, 40, 40)),
    Architecture("Whisper encoder", "audio", "WhisperModel", "WhisperConfig", WHISPER,
                 partial(_drawn, "input_features", 2, 8, 48), part=_encoder),
    Architecture("Moonshine encoder", "audio", "MoonshineModel", "MoonshineConfig", MOONSHINE,
                 partial(_drawn, "input_values", 2, 4000), part=_encoder),
    Architecture("wav2vec 2.0", "audio", "Wav2Vec2Model", "Wav2Vec2Config", WAVES, _sound),
    Architecture("HuBERT", "audio", "HubertModel", "HubertConfig", WAVES, _sound),
    Architecture("BERT", "text", "BertModel", "BertConfig", TEXT, _padded),
    Architecture("RoBERTa", "text", "RobertaModel", "RobertaConfig", PLACED, _padded),
    Architecture("XLM-RoBERTa", "text", "XLMRobertaModel", "XLMRobertaConfig", PLACED, _padded),
    Architecture("MiniLM", "text", "BertForMaskedLM", "BertConfig", TEXT, _padded),
    Architecture("MPNet", "text", "MPNetModel", "MPNetConfig", TEXT, _padded),
    Architecture("DistilBERT", "text", "DistilBertModel", "DistilBertConfig",
                 {"vocab_size": 64, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48}, _padded),
    Architecture("ELECTRA", "text", "ElectraModel", "ElectraConfig", {**TEXT, "embedding_size": 32}, _padded),
    Architecture("ALBERT", "text", "AlbertModel", "AlbertConfig", {**TEXT, "embedding_size": 16}, _padded),
    Architecture("ModernBERT, global layers", "text", "ModernBertModel", "ModernBertConfig",
                 {**MODERN, "global_attn_every_n_layers": 1}, _padded),
    Architecture("ModernBERT, local layers", "text", "ModernBertModel", "ModernBertConfig",
                 {**MODERN, "global_attn_every_n_layers": 2, "local_attention": 8}, _padded, "band"),
    Architecture("Nomic BERT", "text", "NomicBertModel", "NomicBertConfig", TEXT, _padded),
    Architecture("EuroBERT", "text", "EuroBertModel", "EuroBertConfig",
                 {**TEXT, **SPECIAL, "num_key_value_heads": 2}, _padded),
    Architecture("ESM", "text", "EsmModel", "EsmConfig",
                 {**PLACED, "pad_token_id": 0, "position_embedding_type": "rotary"}, _padded),
    Architecture("T5 encoder", "text", "T5EncoderModel", "T5Config",
                 {"vocab_size": 64, "d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2}, _padded),
    Architecture("BART encoder", "text", "BartModel", "BartConfig", CODER, _padded, part=_encoder),
    Architecture("SigLIP text", "text", "SiglipTextModel", "SiglipTextConfig",
                 {**TEXT, "max_position_embeddings": 32}, _words),
    Architecture("CLIP text", "text", "CLIPTextModel", "CLIPTextConfig", {**TEXT, "max_position_embeddings": 32},
                 _words, "causal"),
    Architecture("DeBERTa v2", "text", "DebertaV2Model", "DebertaV2Config",
                 {**TEXT, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "max_relative_positions": 16},
                 _padded, "recognises"),
    Architecture("FNet", "text", "FNetModel", "FNetConfig", TEXT, _words, "recognises"),
    Architecture("GPT-2", "text", "GPT2Model", "GPT2Config",
                 {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 32, "use_cache": False},
                 _words, "causal"),
    Architecture("Llama", "text", "LlamaModel", "LlamaConfig",
                 {**TEXT, "num_key_value_heads": 2, "use_cache": False}, _words, "causal"),
    Architecture("PatchTST, one channel", "time series", "PatchTSTForPrediction", "PatchTSTConfig",
                 {**SERIES, "num_input_channels": 1}, _series(1)),
    Architecture("PatchTST, several channels", "time series", "PatchTSTForPrediction", "PatchTSTConfig",
                 {**SERIES, "num_input_channels": 2}, _series(2)),
    Architecture("PatchTSMixer", "time series", "PatchTSMixerModel", "PatchTSMixerConfig",
                 {"num_input_channels": 2, "context_length": 64, "patch_length": 4, "patch_stride": 4, "d_model": 32,
                  "num_layers": 2}, _series(2), "recognises"),
)  # fmt: skip
"""Audio, text and time series."""
