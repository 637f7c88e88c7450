"""Configuration files as projects on MMDetection 2.x write them; all wording is our own.

By name: the published file that it changes, and its text.
"""

from __future__ import annotations

NORM = "dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)"

PROJECTS: dict[str, tuple[str, str]] = {
    "one_class_of_masks": (
        "mask_rcnn/mask_rcnn_r50_caffe_fpn_mstrain-poly_1x_coco.py",
        """
model = dict(roi_head=dict(bbox_head=dict(num_classes=1), mask_head=dict(num_classes=1)))
dataset_type = 'COCODataset'
classes = ('balloon',)
data = dict(
    train=dict(img_prefix='balloon/train/', classes=classes, ann_file='balloon/train/a.json'),
    val=dict(img_prefix='balloon/val/', classes=classes, ann_file='balloon/val/a.json'),
    test=dict(img_prefix='balloon/val/', classes=classes, ann_file='balloon/val/a.json'))
load_from = ('https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/'
    'mask_rcnn_r50_caffe_fpn_mstrain-poly_3x_coco/mask_rcnn_r50_caffe_fpn_mstrain-poly_3x_coco_'
    'bbox_mAP-0.408__segm_mAP-0.37_20200504_163245-42aa3d00.pth')
""",
    ),
    "swin_with_own_classes": (
        "swin/mask_rcnn_swin-t-p4-w7_fpn_ms-crop-3x_coco.py",
        """
pretrained = 'https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_small_patch4_window7_224.pth'
model = dict(
    backbone=dict(depths=[2, 2, 18, 2], init_cfg=dict(type='Pretrained', checkpoint=pretrained)),
    roi_head=dict(bbox_head=dict(num_classes=3), mask_head=dict(num_classes=3)))
classes = ('cort', 'shsy5y', 'astro')
data = dict(samples_per_gpu=1, workers_per_gpu=1,
    train=dict(classes=classes), val=dict(classes=classes), test=dict(classes=classes))
optimizer = dict(lr=0.0001 / 8)
runner = dict(max_epochs=20)
lr_config = dict(step=[14, 18], warmup_iters=500)
fp16 = dict(loss_scale=dict(init_scale=512))
evaluation = dict(interval=2, metric=['bbox', 'segm'], save_best='segm_mAP', classwise=True)
""",
    ),
    # As the configurations of the authors' own fork of MMDetection 2.11 call the same settings.
    "swin_of_its_authors": (
        "cascade_rcnn/cascade_mask_rcnn_r50_fpn_1x_coco.py",
        f"""
model = dict(
    pretrained='swin_base_patch4_window7_224.pth',
    backbone=dict(_delete_=True, type='SwinTransformer', embed_dim=128, depths=[2, 2, 18, 2],
        num_heads=[4, 8, 16, 32], window_size=7, mlp_ratio=4., qkv_bias=True, qk_scale=None,
        drop_rate=0., attn_drop_rate=0., drop_path_rate=0.3, ape=False, patch_norm=True,
        out_indices=(0, 1, 2, 3), use_checkpoint=False),
    neck=dict(in_channels=[128, 256, 512, 1024]),
    roi_head=dict(bbox_head=[
        dict(type='ConvFCBBoxHead', num_shared_convs=4, num_shared_fcs=1, in_channels=256,
            conv_out_channels=256, fc_out_channels=1024, roi_feat_size=7, num_classes=80,
            bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0., 0., 0., 0.],
                target_stds=[s, s, 2 * s, 2 * s]),
            reg_class_agnostic=False, reg_decoded_bbox=True,
            norm_cfg=dict(type='SyncBN', requires_grad=True),
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type='GIoULoss', loss_weight=10.0))
        for s in (0.1, 0.05, 0.033)]))
img_norm_cfg = {NORM}
data = dict(train=dict(pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', flip_ratio=0.5),
    dict(type='AutoAugment', policies=[
        [dict(type='Resize', img_scale=[(480, 1333), (640, 1333), (800, 1333)],
            multiscale_mode='value', keep_ratio=True)],
        [dict(type='Resize', img_scale=[(400, 1333), (600, 1333)], multiscale_mode='value',
            keep_ratio=True),
         dict(type='RandomCrop', crop_type='absolute_range', crop_size=(384, 600),
            allow_negative_crop=True),
         dict(type='Resize', img_scale=[(480, 1333), (800, 1333)], multiscale_mode='value',
            override=True, keep_ratio=True)]]),
    dict(type='Normalize', **img_norm_cfg),
    dict(type='Pad', size_divisor=32),
    dict(type='DefaultFormatBundle'),
    dict(type='Collect', keys=['img', 'gt_bboxes', 'gt_labels', 'gt_masks'])]))
optimizer = dict(_delete_=True, type='AdamW', lr=0.0001, betas=(0.9, 0.999), weight_decay=0.05,
    paramwise_cfg=dict(custom_keys={{'absolute_pos_embed': dict(decay_mult=0.),
        'relative_position_bias_table': dict(decay_mult=0.), 'norm': dict(decay_mult=0.)}}))
lr_config = dict(step=[27, 33])
runner = dict(type='EpochBasedRunnerAmp', max_epochs=36)
fp16 = None
optimizer_config = dict(type='DistOptimizerHook', update_interval=1, grad_clip=None, coalesce=True,
    bucket_size_mb=-1, use_fp16=True)
""",
    ),
    "cascade_with_deformable_convolutions": (
        "cascade_rcnn/cascade_rcnn_x101_64x4d_fpn_1x_coco.py",
        f"""
model = dict(
    backbone=dict(dcn=dict(type='DCN', deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True)),
    rpn_head=dict(anchor_generator=dict(ratios=[0.2, 0.5, 1.0, 2.0, 5.0], scales=[4])),
    roi_head=dict(bbox_head=[dict(type='Shared2FCBBoxHead', in_channels=256,
        fc_out_channels=1024, roi_feat_size=7, num_classes=20,
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0., 0., 0., 0.],
            target_stds=stds),
        reg_class_agnostic=True,
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
        loss_bbox=dict(type='SmoothL1Loss', beta=1.0, loss_weight=1.0))
        for stds in ([0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067])]),
    test_cfg=dict(rcnn=dict(score_thr=0.0001, nms=dict(type='soft_nms', iou_threshold=0.5))))
norm = {NORM}
train_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', img_scale=[(4096, 600), (4096, 1000)], multiscale_mode='range',
        keep_ratio=True),
    dict(type='RandomFlip', flip_ratio=[0.25, 0.25, 0.25],
        direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='Normalize', **norm), dict(type='Pad', size_divisor=32),
    dict(type='DefaultFormatBundle'),
    dict(type='Collect', keys=['img', 'gt_bboxes', 'gt_labels'])]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiScaleFlipAug', img_scale=[(4096, 600), (4096, 800), (4096, 1000)], flip=True,
        transforms=[dict(type='Resize', keep_ratio=True), dict(type='RandomFlip'),
            dict(type='Normalize', **norm), dict(type='Pad', size_divisor=32),
            dict(type='ImageToTensor', keys=['img']), dict(type='Collect', keys=['img'])])]
data = dict(train=dict(pipeline=train_pipeline), val=dict(pipeline=test_pipeline),
    test=dict(pipeline=test_pipeline))
lr_config = dict(_delete_=True, policy='CosineAnnealing', warmup='linear', warmup_iters=1000,
    warmup_ratio=0.1, min_lr_ratio=1e-5)
""",
    ),
    "htc_without_maps": (
        "htc/htc_without_semantic_r50_fpn_1x_coco.py",
        """
model = dict(
    backbone=dict(type='ResNeXt', depth=101, groups=64, base_width=4,
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnext101_64x4d'),
        dcn=dict(type='DCN', deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True)),
    roi_head=dict(
        bbox_head={str(i): dict(num_classes=7) for i in range(3)},
        mask_head={str(i): dict(num_classes=7) for i in range(3)}))
data = dict(samples_per_gpu=1, workers_per_gpu=1)
optimizer = dict(lr=0.00125)
total_epochs = 20
runner = dict(max_epochs=20)
lr_config = dict(step=[16, 19])
""",
    ),
    "yolox_with_own_classes": (
        "yolox/yolox_s_8x8_300e_coco.py",
        """
classes = ('helmet', 'head', 'person')
img_scale = (640, 640)
max_epochs, num_last_epochs, interval = 100, 15, 5
model = dict(bbox_head=dict(num_classes=len(classes)))
train_pipeline = [
    dict(type='Mosaic', img_scale=img_scale, pad_val=114.0),
    dict(type='RandomAffine', scaling_ratio_range=(0.5, 1.5),
        border=(-img_scale[0] // 2, -img_scale[1] // 2)),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='RandomFlip', flip_ratio=0.5),
    dict(type='Resize', img_scale=img_scale, keep_ratio=True),
    dict(type='Pad', pad_to_square=True, pad_val=dict(img=(114.0, 114.0, 114.0))),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type='DefaultFormatBundle'),
    dict(type='Collect', keys=['img', 'gt_bboxes', 'gt_labels'])]
data = dict(samples_per_gpu=16, workers_per_gpu=8, persistent_workers=False,
    train=dict(pipeline=train_pipeline, dataset=dict(classes=classes, ann_file='a/train.json')),
    val=dict(classes=classes), test=dict(classes=classes))
optimizer = dict(type='SGD', lr=0.01 / 4, momentum=0.9, weight_decay=5e-4, nesterov=True,
    paramwise_cfg=dict(norm_decay_mult=0., bias_decay_mult=0.))
lr_config = dict(num_last_epochs=num_last_epochs)
runner = dict(type='EpochBasedRunner', max_epochs=max_epochs)
custom_hooks = [
    dict(type='YOLOXModeSwitchHook', num_last_epochs=num_last_epochs, priority=48),
    dict(type='SyncNormHook', num_last_epochs=num_last_epochs, interval=interval, priority=48),
    dict(type='ExpMomentumEMAHook', resume_from=None, momentum=0.0001, priority=49)]
evaluation = dict(save_best='auto', interval=interval,
    dynamic_intervals=[(max_epochs - num_last_epochs, 1)], metric='bbox')
log_config = dict(interval=50, hooks=[dict(type='TextLoggerHook'),
    dict(type='WandbLoggerHook', init_kwargs=dict(project='helmets'))])
load_from = 'checkpoints/yolox_s_8x8_300e_coco_20211121_095711-4592a793.pth'
""",
    ),
    "balanced_classes": (
        "retinanet/retinanet_r50_fpn_1x_coco.py",
        """
data_root = 'data/traffic/'
data = dict(train=dict(_delete_=True, type='ClassBalancedDataset', oversample_thr=1e-2,
    dataset=dict(type='RepeatDataset', times=3, dataset=dict(type='CocoDataset',
        ann_file=data_root + 'train.json', img_prefix=data_root + 'images/',
        filter_empty_gt=False, pipeline=_base_.train_pipeline))))
""",
    ),
    "albumentations": (
        "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py",
        f"""
albu_train_transforms = [
    dict(type='ShiftScaleRotate', shift_limit=0.0625, scale_limit=0.0, rotate_limit=10,
        interpolation=1, border_mode=0, p=0.5),
    dict(type='RandomRotate90', p=0.5),
    dict(type='OneOf', transforms=[
        dict(type='HueSaturationValue', hue_shift_limit=10, sat_shift_limit=35,
            val_shift_limit=25),
        dict(type='RandomGamma'), dict(type='CLAHE')], p=0.5),
    dict(type='OneOf', transforms=[
        dict(type='RandomBrightnessContrast', brightness_limit=0.25, contrast_limit=0.25),
        dict(type='RGBShift', r_shift_limit=15, g_shift_limit=15, b_shift_limit=15)], p=0.5),
    dict(type='OneOf', transforms=[
        dict(type='Blur', blur_limit=3, p=1.0), dict(type='MedianBlur', blur_limit=3),
        dict(type='MotionBlur'), dict(type='GaussNoise')], p=0.1),
    dict(type='ChannelShuffle', p=0.1),
    dict(type='Cutout', num_holes=8, max_h_size=16, max_w_size=16, fill_value=0, p=0.2),
    dict(type='ToGray', p=0.05),
    dict(type='ImageCompression', quality_lower=85, quality_upper=95, p=0.2)]
data = dict(train=dict(pipeline=[
    dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', img_scale=(1024, 1024), keep_ratio=True),
    dict(type='Pad', size_divisor=32),
    dict(type='Albu', transforms=albu_train_transforms,
        bbox_params=dict(type='BboxParams', format='pascal_voc', label_fields=['gt_labels'],
            min_visibility=0.0, filter_lost_elements=True),
        keymap=dict(img='image', gt_bboxes='bboxes'), update_pad_shape=False,
        skip_img_without_anno=True),
    dict(type='Normalize', **{NORM}),
    dict(type='DefaultFormatBundle'),
    dict(type='Collect', keys=['img', 'gt_bboxes', 'gt_labels'],
        meta_keys=('filename', 'ori_shape', 'img_shape', 'img_norm_cfg', 'pad_shape',
            'scale_factor'))]))
""",
    ),
    "pascal_voc_with_own_classes": (
        "pascal_voc/faster_rcnn_r50_fpn_1x_voc0712.py",
        """
CLASSES = ('crack', 'hole')
model = dict(roi_head=dict(bbox_head=dict(num_classes=len(CLASSES))))
data = dict(
    train=dict(times=1, dataset=dict(classes=CLASSES, ann_file='d/VOC2007/train.txt',
        img_prefix='d/VOC2007/')),
    val=dict(classes=CLASSES, ann_file='d/VOC2007/val.txt', img_prefix='d/VOC2007/'),
    test=dict(classes=CLASSES, ann_file='d/VOC2007/val.txt', img_prefix='d/VOC2007/'))
evaluation = dict(interval=1, metric='mAP', iou_thr=0.5)
""",
    ),
    "several_files_at_once": (
        "faster_rcnn/faster_rcnn_r101_fpn_2x_coco.py",
        """
one = dict(type='CocoDataset', ann_file='a.json', img_prefix='a/', pipeline=_base_.train_pipeline)
data = dict(train=dict(_delete_=True, type='ConcatDataset', separate_eval=False,
    datasets=[one, dict(one, ann_file='b.json', img_prefix='b/')]),
    val=dict(ann_file=['a.json', 'b.json'], img_prefix=['a/', 'b/']))
""",
    ),
    "a_list_of_data_sets": (
        "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py",
        """
one = dict(type='CocoDataset', classes=('a',), ann_file='a.json', img_prefix='a/',
    pipeline=_base_.train_pipeline)
data = dict(_delete_=True, samples_per_gpu=4, workers_per_gpu=4,
    train=[one, dict(type='RepeatDataset', times=2, dataset=one)],
    val=dict(type='CocoDataset', classes=('a',), ann_file='v.json', img_prefix='v/',
        pipeline=_base_.test_pipeline),
    test=dict(type='CocoDataset', classes=('a',), ann_file='v.json', img_prefix='v/',
        pipeline=_base_.test_pipeline))
model = dict(roi_head=dict(bbox_head=dict(num_classes=1)))
""",
    ),
    "convnext_of_mmclassification": (
        "convnext/cascade_mask_rcnn_convnext-t_p4_w7_fpn_giou_4conv1f_fp16_ms-crop_3x_coco.py",
        """
custom_imports = dict(imports=['mmcls.models'], allow_failed_imports=False)
model = dict(backbone=dict(type='mmcls.ConvNeXt', arch='small', drop_path_rate=0.6))
optimizer = dict(paramwise_cfg={'decay_rate': 0.7, 'decay_type': 'layer_wise', 'num_layers': 12})
runner = dict(type='EpochBasedRunner', max_epochs=12)
lr_config = dict(step=[8, 11])
""",
    ),
    "vfnet_res2net": (
        "vfnet/vfnet_r2_101_fpn_mdconv_c3-c5_mstrain_2x_coco.py",
        """
model = dict(bbox_head=dict(num_classes=9),
    test_cfg=dict(nms=dict(type='soft_nms', iou_threshold=0.6), max_per_img=300))
data = dict(samples_per_gpu=2)
optimizer = dict(lr=0.01 / 8, paramwise_cfg=dict(bias_lr_mult=2., bias_decay_mult=0.))
checkpoint_config = dict(interval=4, max_keep_ckpts=3, create_symlink=False)
""",
    ),
    "atss_on_swin": (
        "atss/atss_r50_fpn_1x_coco.py",
        """
model = dict(
    backbone=dict(_delete_=True, type='SwinTransformer', embed_dims=96, depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24], window_size=7, mlp_ratio=4, qkv_bias=True, qk_scale=None,
        drop_rate=0., attn_drop_rate=0., drop_path_rate=0.2, patch_norm=True,
        out_indices=(1, 2, 3), with_cp=False, convert_weights=True,
        init_cfg=dict(type='Pretrained', checkpoint='swin_tiny_patch4_window7_224.pth')),
    neck=dict(in_channels=[192, 384, 768], start_level=0),
    bbox_head=dict(num_classes=4))
optimizer = dict(_delete_=True, type='AdamW', lr=0.0001, betas=(0.9, 0.999), weight_decay=0.05)
optimizer_config = dict(grad_clip=dict(_delete_=True, max_norm=35, norm_type=2))
""",
    ),
    "deformable_detr_with_own_classes": (
        "deformable_detr/deformable_detr_refine_r50_16x2_50e_coco.py",
        """
model = dict(bbox_head=dict(num_classes=2, num_query=100))
data = dict(samples_per_gpu=1, workers_per_gpu=0, train=dict(classes=('a', 'b')),
    val=dict(classes=('a', 'b')), test=dict(classes=('a', 'b')))
lr_config = dict(policy='step', step=[40], by_epoch=True)
find_unused_parameters = True
""",
    ),
    "detr_with_own_classes": (
        "detr/detr_r50_8x2_150e_coco.py",
        "model = dict(bbox_head=dict(num_classes=5))\nevaluation = dict(interval=10)\n",
    ),
    "sparse_rcnn_with_own_classes": (
        "sparse_rcnn/sparse_rcnn_r50_fpn_300_proposals_crop_mstrain_480-800_3x_coco.py",
        """
num_stages = 6
model = dict(roi_head=dict(bbox_head=[dict(type='DIIHead', num_classes=6, num_ffn_fcs=2,
    num_heads=8, num_cls_fcs=1, num_reg_fcs=3, feedforward_channels=2048, in_channels=256,
    dropout=0.0, ffn_act_cfg=dict(type='ReLU', inplace=True),
    dynamic_conv_cfg=dict(type='DynamicConv', in_channels=256, feat_channels=64, out_channels=256,
        input_feat_shape=7, act_cfg=dict(type='ReLU', inplace=True), norm_cfg=dict(type='LN')),
    loss_bbox=dict(type='L1Loss', loss_weight=5.0), loss_iou=dict(type='GIoULoss', loss_weight=2.0),
    loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0),
    bbox_coder=dict(type='DeltaXYWHBBoxCoder', clip_border=False,
        target_means=[0., 0., 0., 0.], target_stds=[0.5, 0.5, 1., 1.]))
    for _ in range(num_stages)]))
""",
    ),
    "ssd_with_own_classes": (
        "ssd/ssd300_coco.py",
        """
model = dict(bbox_head=dict(num_classes=20, anchor_generator=dict(basesize_ratio_range=(0.2, 0.9))))
data = dict(samples_per_gpu=32, train=dict(times=1))
optimizer = dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4)
""",
    ),
    "yolov3_with_own_anchors": (
        "yolo/yolov3_d53_mstrain-416_273e_coco.py",
        """
model = dict(bbox_head=dict(num_classes=3, anchor_generator=dict(base_sizes=[
    [(220, 125), (128, 222), (264, 266)], [(35, 87), (102, 96), (60, 170)],
    [(10, 15), (24, 36), (72, 42)]])))
data = dict(samples_per_gpu=16, workers_per_gpu=4)
optimizer = dict(lr=0.001 / 4)
lr_config = dict(warmup_iters=500, step=[50, 80])
runner = dict(max_epochs=100)
evaluation = dict(interval=10, metric=['bbox'])
""",
    ),
    "resnest_with_synchronized_norms": (
        "resnest/cascade_rcnn_s50_fpn_syncbn-backbone+head_mstrain-range_1x_coco.py",
        """
model = dict(backbone=dict(frozen_stages=-1),
    roi_head=dict(bbox_head={str(i): dict(num_classes=11) for i in range(3)}))
""",
    ),
    "mosaic_of_two_stages": (
        "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py",
        f"""
img_scale = (1333, 800)
data = dict(train=dict(_delete_=True, type='MultiImageMixDataset',
    dataset=dict(type='CocoDataset', ann_file='a.json', img_prefix='a/',
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)],
        filter_empty_gt=False),
    pipeline=[
        dict(type='Mosaic', img_scale=(640, 640), pad_val=114.0, prob=0.5),
        dict(type='RandomAffine', scaling_ratio_range=(0.1, 2), border=(-320, -320)),
        dict(type='MixUp', img_scale=(640, 640), ratio_range=(0.8, 1.6), pad_val=114.0),
        dict(type='PhotoMetricDistortion'), dict(type='RandomFlip', flip_ratio=0.5),
        dict(type='Resize', img_scale=img_scale, keep_ratio=True),
        dict(type='Normalize', **{NORM}), dict(type='Pad', size_divisor=32),
        dict(type='DefaultFormatBundle'),
        dict(type='Collect', keys=['img', 'gt_bboxes', 'gt_labels'])]))
""",
    ),
    "other_necks_and_norms": (
        "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py",
        """
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    backbone=dict(norm_cfg=norm_cfg, norm_eval=False, with_cp=True, frozen_stages=-1,
        plugins=[dict(cfg=dict(type='ContextBlock', ratio=1. / 4), position='after_conv3',
            stages=(False, True, True, True))]),
    neck=dict(type='PAFPN', norm_cfg=norm_cfg),
    roi_head=dict(bbox_head=dict(_delete_=True, type='Shared4Conv1FCBBoxHead', in_channels=256,
        conv_out_channels=256, fc_out_channels=1024, roi_feat_size=7, num_classes=80,
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0.] * 4,
            target_stds=[0.1, 0.1, 0.2, 0.2]), norm_cfg=norm_cfg,
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
        loss_bbox=dict(type='CIoULoss', loss_weight=12.0), reg_decoded_bbox=True)),
    train_cfg=dict(rcnn=dict(sampler=dict(type='OHEMSampler'))))
""",
    ),
    "a_whole_file_with_what_a_run_adds": (
        "faster_rcnn/faster_rcnn_r50_caffe_fpn_mstrain_1x_coco.py",
        """
checkpoint_config = dict(interval=1, meta=dict(mmdet_version='2.14.0', CLASSES=('a', 'b'),
    config='model = dict()', epoch=3))
gpu_ids = range(0, 1)
seed = 0
device = 'cuda'
work_dir = './work_dirs/mine'
cudnn_benchmark = True
dist_params = dict(backend='nccl', port=29501)
mp_start_method = 'fork'
evaluation = dict(interval=1, metric='bbox', gpu_collect=True, tmpdir='.', jsonfile_prefix='x',
    metric_items=['mAP', 'mAP_50'], by_epoch=True, start=2, save_best='bbox_mAP', rule='greater')
log_config = dict(interval=10, hooks=[dict(type='TextLoggerHook', by_epoch=True),
    dict(type='MMDetWandbHook', init_kwargs={'project': 'x'}, num_eval_images=5)])
opencv_num_threads = 0
auto_resume = False
custom_hooks = [dict(type='NumClassCheckHook'), dict(type='EarlyStoppingHook', patience=3)]
profiler_config = dict(by_epoch=False)
""",
    ),
    "lvis_of_ones_own": (
        "lvis/mask_rcnn_r50_fpn_sample1e-3_mstrain_2x_lvis_v0.5.py",
        """
data = dict(samples_per_gpu=1,
    train=dict(oversample_thr=1e-3, dataset=dict(ann_file='l.json', img_prefix='l/')))
model = dict(test_cfg=dict(rcnn=dict(score_thr=0.0, max_per_img=300)))
""",
    ),
    "tood_with_a_longer_run": (
        "tood/tood_r50_fpn_1x_coco.py",
        """
model = dict(bbox_head=dict(num_classes=10), train_cfg=dict(initial_epoch=8))
runner = dict(max_epochs=50)
lr_config = dict(_delete_=True, policy='CosineRestart', periods=[10, 40], restart_weights=[1, 0.5],
    min_lr=1e-5, warmup='exp', warmup_iters=1, warmup_by_epoch=True)
""",
    ),
    "points_of_ones_own": (
        "point_rend/point_rend_r50_caffe_fpn_mstrain_1x_coco.py",
        """
model = dict(roi_head=dict(bbox_head=dict(num_classes=2), mask_head=dict(num_classes=2),
    point_head=dict(num_classes=2)))
""",
    ),
    "solov2_of_ones_own": (
        "solov2/solov2_r50_fpn_1x_coco.py",
        "model = dict(mask_head=dict(num_classes=3))\noptimizer = dict(lr=0.0025)\n",
    ),
    "seesaw_of_ones_own": (
        "seesaw_loss/mask_rcnn_r50_fpn_random_seesaw_loss_mstrain_2x_lvis_v1.py",
        """
model = dict(roi_head=dict(
    bbox_head=dict(num_classes=60, cls_predictor_cfg=dict(type='NormedLinear', tempearture=20),
        loss_cls=dict(type='SeesawLoss', p=0.8, q=2.0, num_classes=60, loss_weight=1.0)),
    mask_head=dict(num_classes=60)))
""",
    ),
    "detectors_of_ones_own": (
        "detectors/detectors_cascade_rcnn_r50_1x_coco.py",
        "model = dict(roi_head=dict(bbox_head={str(i): dict(num_classes=2) for i in range(3)}))\n",
    ),
    "from_scratch_on_gray_images": (
        "mask_rcnn/mask_rcnn_r50_fpn_1x_coco.py",
        """
model = dict(pretrained=None, backbone=dict(depth=18, init_cfg=None, frozen_stages=-1),
    neck=dict(in_channels=[64, 128, 256, 512]),
    roi_head=dict(mask_head=dict(loss_mask=dict(loss_weight=2.0))),
    train_cfg=dict(rpn_proposal=dict(nms_pre=1000, max_per_img=500)))
data = dict(train=dict(filter_empty_gt=True, test_mode=False), workers_per_gpu=0)
""",
    ),
    "augmentations": (
        "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py",
        f"""
data = dict(train=dict(pipeline=[
    dict(type='LoadImageFromFile', to_float32=True, file_client_args=dict(backend='disk')),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PhotoMetricDistortion', brightness_delta=32, contrast_range=(0.5, 1.5),
        saturation_range=(0.5, 1.5), hue_delta=18),
    dict(type='Expand', mean=[123.675, 116.28, 103.53], to_rgb=True, ratio_range=(1, 2)),
    dict(type='MinIoURandomCrop', min_ious=(0.4, 0.5, 0.6, 0.7, 0.8, 0.9), min_crop_size=0.3),
    dict(type='AutoAugment', policies=[
        [dict(type='Rotate', level=5, img_fill_val=114, prob=0.5)],
        [dict(type='Translate', level=3), dict(type='Shear', level=2, direction='vertical')],
        [dict(type='ColorTransform', level=4), dict(type='BrightnessTransform', level=3),
         dict(type='ContrastTransform', level=3), dict(type='EqualizeTransform', prob=0.2)]]),
    dict(type='Resize', img_scale=[(1333, 640), (1333, 800)], multiscale_mode='range',
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=(0.5, 0.5), crop_type='relative_range'),
    dict(type='CutOut', n_holes=(1, 5), cutout_shape=[(4, 4), (8, 8)]),
    dict(type='RandomShift', shift_ratio=0.5, max_shift_px=32),
    dict(type='RandomFlip', flip_ratio=0.5),
    dict(type='Normalize', **{NORM}), dict(type='Pad', size=(1344, 1344)),
    dict(type='DefaultFormatBundle'),
    dict(type='Collect', keys=['img', 'gt_bboxes', 'gt_labels'])]))
""",
    ),
    "many_flips_in_tests": (
        "gfl/gfl_r50_fpn_mstrain_2x_coco.py",
        f"""
tta = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiScaleFlipAug', img_scale=[(1333, 640), (1333, 800)], flip=True,
        flip_direction=['horizontal', 'vertical'],
        transforms=[dict(type='Resize', keep_ratio=True), dict(type='RandomFlip'),
            dict(type='Normalize', **{NORM}), dict(type='Pad', size_divisor=32),
            dict(type='ImageToTensor', keys=['img']), dict(type='Collect', keys=['img'])])]
data = dict(test=dict(pipeline=tta))
""",
    ),
    "hrnet_and_a_cyclic_rate": (
        "hrnet/faster_rcnn_hrnetv2p_w18_1x_coco.py",
        """
model = dict(roi_head=dict(bbox_head=dict(num_classes=1)))
lr_config = dict(_delete_=True, policy='cyclic', target_ratio=(10, 1e-4), cyclic_times=1,
    step_ratio_up=0.4)
optimizer = dict(_delete_=True, type='Adam', lr=0.0001)
""",
    ),
    "pvt_of_ones_own": (
        "pvt/retinanet_pvtv2-b2_fpn_1x_coco.py",
        """
model = dict(bbox_head=dict(num_classes=7, anchor_generator=dict(octave_base_scale=2)))
data = dict(train=dict(classes=('a', 'b', 'c', 'd', 'e', 'f', 'g')))
""",
    ),
    "queryinst_of_ones_own": (
        "queryinst/queryinst_r50_fpn_1x_coco.py",
        """
model = dict(roi_head=dict(bbox_head={str(i): dict(num_classes=2) for i in range(6)},
    mask_head={str(i): dict(num_classes=2) for i in range(6)}))
""",
    ),
    "all_levels_summed": (
        "mask_rcnn/mask_rcnn_r50_fpn_1x_coco.py",
        """
model = dict(roi_head=dict(bbox_roi_extractor=dict(type='GenericRoIExtractor', aggregation='sum')))
""",
    ),
    "balanced_negatives": (
        "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.py",
        """
model = dict(train_cfg=dict(rcnn=dict(sampler=dict(type='IoUBalancedNegSampler', num_bins=4))))
""",
    ),
    "boxes_without_votes": (
        "paa/paa_r50_fpn_1x_coco.py",
        "model = dict(bbox_head=dict(num_classes=3, score_voting=False, topk=5))\n",
    ),
    # The base's head still says the channels of a ResNet, at which V2 does not look.
    "deformable_detr_on_swin": (
        "deformable_detr/deformable_detr_r50_16x2_50e_coco.py",
        """
model = dict(
    backbone=dict(_delete_=True, type='SwinTransformer', embed_dims=96, depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24], window_size=7, out_indices=(1, 2, 3)),
    neck=dict(in_channels=[192, 384, 768]))
""",
    ),
    "iterations": (
        "fcos/fcos_center-normbbox-centeronreg-giou_r50_caffe_fpn_gn-head_1x_coco.py",
        """
runner = dict(_delete_=True, type='IterBasedRunner', max_iters=90000)
lr_config = dict(policy='step', step=[60000, 80000], by_epoch=False)
checkpoint_config = dict(by_epoch=False, interval=5000)
evaluation = dict(interval=5000, metric='bbox')
workflow = [('train', 5000)]
""",
    ),
}
