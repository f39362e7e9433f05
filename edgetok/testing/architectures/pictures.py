"""Architectures that see: pictures and video."""

from __future__ import annotations

from functools import partial

import numpy as np
from torch import Tensor, nn

from edgetok.testing.architectures.architecture import Architecture, Config, Inputs, drawn

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
BARE = {key: SIZES[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads")}
IMAGE = {**SIZES, "image_size": 40, "patch_size": 8}
STAGES = ["stage1", "stage2"]
WINDOWED = {"image_size": 48, "patch_size": 4, "embed_dim": 16, "depths": [2], "num_heads": [2], "window_size": 3}
SAM = {**BARE, "image_size": 64, "patch_size": 8, "output_channels": 16, "mlp_dim": 48}
CLIP = {**SIZES, "image_size": 32, "patch_size": 8}


def pixels(size: int = 40) -> Inputs:
    """Two square pictures."""
    return partial(_named, "pixel_values", 2, 3, size, size)


def _named(name: str, *shape: int) -> dict[str, Tensor]:
    return {name: drawn(*shape)}


def _clip() -> dict[str, Tensor]:
    return {"pixel_values": drawn(2, 4, 3, 32, 32)}


def _shuffled() -> dict[str, Tensor]:
    """ViT-MAE shuffles its patches by noise, which is an input here so that the model is a function."""
    return {"pixel_values": drawn(2, 3, 40, 40), "noise": drawn(2, 25)}


class OneGrid(nn.Module):
    """SigLIP 2 for pictures of 5 x 5 patches: the grid a number, not an input."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        """``(2, 25, 48)`` patches to features."""
        real = pixel_values.new_ones(pixel_values.shape[:2])
        out = self.model(pixel_values, pixel_attention_mask=real, spatial_shapes=np.array([(5, 5)] * 2))
        return out.last_hidden_state  # type: ignore[no-any-return]


_DETR = {
    "use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None, "d_model": 32, "num_queries": 5,
    "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
    "backbone_config": Config("ResNetConfig", {
        "embedding_size": 8, "hidden_sizes": [8, 8, 8, 16], "depths": [1, 1, 1, 1], "out_features": ["stage4"],
    }),
}  # fmt: skip
_DPT = {
    **SIZES, "image_size": 64, "patch_size": 16, "backbone_out_indices": [0, 1], "is_hybrid": False,
    "neck_hidden_sizes": [8, 8], "fusion_hidden_size": 8, "reassemble_factors": [2, 1],
}  # fmt: skip
_DEPTH = {
    "reassemble_hidden_size": 32, "neck_hidden_sizes": [8, 8], "fusion_hidden_size": 8, "head_hidden_size": 8,
    "patch_size": 14, "reassemble_factors": [2, 1],
    "backbone_config": Config("Dinov2Config", {
        **SIZES, "image_size": 56, "patch_size": 14, "out_features": STAGES, "reshape_hidden_states": False,
    }),
}  # fmt: skip
_SEGFORMER = {
    "num_encoder_blocks": 2, "depths": [1, 1], "sr_ratios": [2, 1], "hidden_sizes": [16, 32], "mlp_ratios": [2, 2],
    "num_attention_heads": [1, 2], "patch_sizes": [7, 3], "strides": [4, 2], "decoder_hidden_size": 16,
}  # fmt: skip
_PVT = {
    "image_size": 64, "num_encoder_blocks": 2, "depths": [1, 1], "sequence_reduction_ratios": [2, 1],
    "hidden_sizes": [16, 32], "patch_sizes": [4, 2], "strides": [4, 2], "num_attention_heads": [1, 2],
    "mlp_ratios": [2, 2],
}  # fmt: skip
_POSE = {
    "num_labels": 5,
    "backbone_config": Config("VitPoseBackboneConfig", {
        **BARE, "image_size": [64, 64], "patch_size": [16, 16], "num_labels": 5, "out_indices": [2],
    }),
}  # fmt: skip

ARCHITECTURES = (
    Architecture("ViT", "classification", "ViTForImageClassification", "ViTConfig", IMAGE, pixels()),
    Architecture("DeiT", "classification", "DeiTForImageClassification", "DeiTConfig", IMAGE, pixels()),
    Architecture("BEiT", "classification", "BeitModel", "BeitConfig",
                 {**IMAGE, "use_relative_position_bias": True}, pixels()),
    Architecture("data2vec-vision", "classification", "Data2VecVisionModel", "Data2VecVisionConfig",
                 {**IMAGE, "use_relative_position_bias": True}, pixels()),
    Architecture("PVT", "classification", "PvtModel", "PvtConfig", _PVT, pixels(64)),
    Architecture("Swin", "classification", "SwinModel", "SwinConfig", WINDOWED, pixels(48), "window"),
    Architecture("Swin v2", "classification", "Swinv2Model", "Swinv2Config", WINDOWED, pixels(48), "recognises"),
    Architecture("DINOv2", "embedding", "Dinov2Model", "Dinov2Config", IMAGE, pixels()),
    Architecture("DINOv2 with registers", "embedding", "Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", IMAGE,
                 pixels()),
    Architecture("DINOv3", "embedding", "DINOv3ViTModel", "DINOv3ViTConfig", {**IMAGE, "num_register_tokens": 4},
                 pixels()),
    Architecture("CLIP vision", "embedding", "CLIPVisionModelWithProjection", "CLIPVisionConfig", IMAGE, pixels()),
    Architecture("SigLIP vision", "embedding", "SiglipVisionModel", "SiglipVisionConfig", IMAGE, pixels()),
    Architecture("SigLIP 2 vision", "embedding", "Siglip2VisionModel", "Siglip2VisionConfig",
                 {**SIZES, "patch_size": 4, "num_patches": 25}, partial(_named, "pixel_values", 2, 25, 48),
                 part=OneGrid),
    Architecture("ViT-MAE", "embedding", "ViTMAEModel", "ViTMAEConfig", {**IMAGE, "mask_ratio": 0.0}, _shuffled),
    Architecture("ViT-MSN", "embedding", "ViTMSNModel", "ViTMSNConfig", IMAGE, pixels()),
    Architecture("I-JEPA", "embedding", "IJepaModel", "IJepaConfig", IMAGE, pixels()),
    Architecture("AIMv2", "embedding", "Aimv2VisionModel", "Aimv2VisionConfig", IMAGE, pixels()),
    Architecture("InternViT", "embedding", "InternVLVisionModel", "InternVLVisionConfig",
                 {**SIZES, "image_size": [40, 40], "patch_size": [8, 8]}, pixels()),
    Architecture("BLIP vision", "embedding", "BlipVisionModel", "BlipVisionConfig", IMAGE, pixels()),
    Architecture("Idefics3 vision", "embedding", "Idefics3VisionTransformer", "Idefics3VisionConfig", IMAGE, pixels()),
    Architecture("Pixtral vision", "embedding", "PixtralVisionModel", "PixtralVisionConfig", IMAGE, pixels(),
                 "same tokens more than once"),
    Architecture("DPT", "dense prediction", "DPTForDepthEstimation", "DPTConfig", _DPT, pixels(64)),
    Architecture("Depth Anything", "dense prediction", "DepthAnythingForDepthEstimation", "DepthAnythingConfig",
                 _DEPTH, pixels(56)),
    Architecture("SegFormer", "dense prediction", "SegformerForSemanticSegmentation", "SegformerConfig", _SEGFORMER,
                 pixels(64)),
    Architecture("ViTPose", "dense prediction", "VitPoseForPoseEstimation", "VitPoseConfig", _POSE, pixels(64)),
    Architecture("DETR", "detection", "DetrModel", "DetrConfig", _DETR, pixels(128)),
    Architecture("Conditional DETR", "detection", "ConditionalDetrModel", "ConditionalDetrConfig", _DETR, pixels(128)),
    Architecture("DAB-DETR", "detection", "DabDetrModel", "DabDetrConfig",
                 {"hidden_size": 32, **{key: value for key, value in _DETR.items() if key != "d_model"}}, pixels(128)),
    Architecture("Deformable DETR", "detection", "DeformableDetrModel", "DeformableDetrConfig",
                 {**_DETR, "num_feature_levels": 1}, pixels(128), "residual"),
    Architecture("YOLOS", "detection", "YolosForObjectDetection", "YolosConfig",
                 {**IMAGE, "image_size": [40, 40], "num_detection_tokens": 5}, pixels()),
    Architecture("OWL-ViT vision", "detection", "OwlViTVisionModel", "OwlViTVisionConfig", IMAGE, pixels()),
    Architecture("SAM vision, global", "detection", "SamVisionModel", "SamVisionConfig",
                 {**SAM, "window_size": 0, "global_attn_indexes": [0, 1]}, pixels(64), "mask"),
    Architecture("SAM vision, windows", "detection", "SamVisionModel", "SamVisionConfig",
                 {**SAM, "window_size": 4, "global_attn_indexes": []}, pixels(64), "window"),
    Architecture("SAM vision, no relative positions", "detection", "SamVisionModel", "SamVisionConfig",
                 {**SAM, "window_size": 0, "global_attn_indexes": [0, 1], "use_rel_pos": False}, pixels(64),
                 "residual"),
    Architecture("ViTDet", "detection", "VitDetModel", "VitDetConfig",
                 {**BARE, "image_size": 64, "patch_size": 8, "pretrain_image_size": 64}, pixels(64), "residual"),
    Architecture("VideoMAE", "video", "VideoMAEModel", "VideoMAEConfig",
                 {**CLIP, "num_frames": 4, "tubelet_size": 2}, _clip),
    Architecture("ViViT", "video", "VivitModel", "VivitConfig",
                 {**SIZES, "image_size": 32, "num_frames": 4, "tubelet_size": [2, 8, 8]}, _clip),
    Architecture("TimeSformer", "video", "TimesformerModel", "TimesformerConfig", {**CLIP, "num_frames": 4}, _clip,
                 "frame"),
)  # fmt: skip
"""Classification, embedding, dense prediction, detection and video."""
