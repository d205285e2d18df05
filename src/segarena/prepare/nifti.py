"""Image and label files to cases: what a submission may see, and the truth.

A case is a pair of files of one name, one in the folder of images and one in the folder of labels:
both NIfTI, both ready-made .npz, or a 2D picture (PNG, JPEG) with a PNG of its labels. A pair that
cannot be used ends in one line that names the file and the reason; what is odd but unambiguous is
used, and reported as a warning.

The label map must describe the image's voxels. It may store them in another axis order or
direction; it is then turned to the image's, which moves voxels and changes none. Nothing is ever
resampled.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff

from segarena.case import (
    FOREIGN_BYTES,
    Image,
    Truth,
    foreign,
    read_image,
    read_raters,
    read_truth,
    smallest_unsigned,
)
from segarena.errors import CaseError, ConfigError
from segarena.prepare.boxes import boxes_of, check_boxes
from segarena.prepare.odd import odd_intensities, odd_labels, odd_spacing
from segarena.prepare.picture import read_picture
from segarena.prepare.raters import GIVEN, MAJORITY, STAPLE, majority, staple
from segarena.prepare.slices import put_back
from segarena.prepare.volume import (
    GRID_TOLERANCE_VOXELS,
    Volume,
    check_finite,
    farthest_corner,
    header_bytes,
    header_from_bytes,
    read_volume,
    same_grid,
)
from segarena.prepare.window import by_percentiles, chosen_window, windowed

KINDS = {
    ".nii.gz": "NIfTI",
    ".nii": "NIfTI",
    ".npz": ".npz",
    ".png": "picture",
    ".jpg": "picture",
    ".jpeg": "picture",
}
_NNUNET_CHANNEL = re.compile(r"_\d{4}$")
CASE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

_LARGEST_ID = 2**53  # beyond it a float no longer separates integers
_SCALING_ERROR = 1e-3  # of a label, so much may a header's slope have moved it
_MOST_LABELS = 2**16 - 1  # prompts, answers and scores hold labels in 16 bits


def find_cases(images: Path, labels: Path) -> dict[str, tuple[Path, Path]]:
    """Return (image file, label file) by case name, sorted; only the first pair is looked into.

    Hidden files and files of other types are ignored. Raises ConfigError with one line for each
    file that has no partner, is there twice or has a name that cannot name a case.
    """
    problems: list[str] = []
    found_images = _files_by_case(images, "images", problems)
    found_labels = _files_by_case(labels, "labels", problems)
    if not found_images or not found_labels:
        raise ConfigError("\n".join(problems))
    with_channel = _nnunet_channels(found_images, found_labels)
    if with_channel:
        problems.append(_nnunet_advice(with_channel, images))
        for name in with_channel:
            del found_images[name]
            found_labels.pop(_NNUNET_CHANNEL.sub("", name), None)
    cases: dict[str, tuple[Path, Path]] = {}
    for case in sorted(found_images.keys() | found_labels.keys()):
        image, label = found_images.get(case), found_labels.get(case)
        if image is not None and label is None:
            problems.append(f"{image}: no label map named {case} in {labels}")
        elif label is not None and (problem := _misfit(image, label, case, images)):
            problems.append(problem)
        elif image is not None and label is not None:
            cases[case] = (image, label)
    for key, position in (("images", 0), ("labels", 1)):
        problems += _foreign_files([pair[position] for pair in cases.values()], key)
    if problems:
        raise ConfigError("\n".join(problems))
    return cases


def find_rated_cases(
    images: Path, raters: Mapping[str, Path]
) -> dict[str, tuple[Path, dict[str, Path]]]:
    """Return (image file, label file by rater) by case name, sorted.

    raters: the folder of each. A rater may lack a case, but each case has one rater at least.
    Raises ConfigError as `find_cases`.
    """
    problems: list[str] = []
    found_images = _files_by_case(images, "images", problems)
    found = {name: _files_by_case(raters[name], f"labels.{name}", problems) for name in raters}
    cases: dict[str, tuple[Path, dict[str, Path]]] = {}
    for case in sorted(found_images.keys() | {case for files in found.values() for case in files}):
        maps = {name: files[case] for name, files in found.items() if case in files}
        image = found_images.get(case)
        wrong = [
            problem for label in maps.values() if (problem := _misfit(image, label, case, images))
        ]
        if not maps:
            wrong = [f"{image}: no label map named {case} of any rater"]
        if image is not None and not wrong:
            cases[case] = (image, maps)
        problems += wrong
    problems += _foreign_files([image for image, _ in cases.values()], "images")
    if problems:
        raise ConfigError("\n".join(problems))
    return cases


def labels_of(label: Path) -> list[int]:
    """Return the ids of a label map's labels, sorted, none where it is empty.

    Raises CaseError as `prepare_case`.
    """
    if _kind(label) == ".npz":
        gts = read_truth(label).gts
        return Truth(_integer_labels(gts, label, may_be_empty=True)).labels
    return Truth(_read_labels(label, may_be_empty=True).data).labels


def prepare_case(
    image: Path,
    label: Path,
    *,
    case: str,
    modality: str | None,
    window: str | None,
    box: bool,
    seed: int,
    npz_spacing: str = "zyx",
    expected: Sequence[int] | None = None,
    ignored: Sequence[int] = (),
    raters: Mapping[str, Path] | None = None,
    consensus: str = GIVEN,
) -> tuple[Image, Truth, list[str]]:
    """Return what a submission may see, the truth, and the warnings, one line each.

    modality and window: see `segarena.prepare.window.chosen_window`. box: False leaves the boxes
    out. seed: draws the boxes; a ready-made case keeps the boxes that it has, or none. npz_spacing:
    the order of a ready-made case's spacing, "zyx" or "xyz". expected: the ids that a case could
    have, which a case without foreground is asked for; None where it cannot be used. ignored: ids
    that are no foreground. raters: the label file of each rater, `label` is one of them then, or
    the consensus that is given; a ready-made case may have `raters` in its file. consensus: see
    `_agreed`.
    Raises CaseError with the file and the reason, ConfigError where `window` is none.
    """
    chosen_window(modality=modality, window=window)  # a wrong one is reported before a file is read
    if _kind(image) == ".npz":
        prepared, truth, warnings = _ready_made(
            image,
            label,
            modality=modality,
            window=window,
            npz_spacing=npz_spacing,
            expected=expected,
            ignored=ignored,
            raters=raters,
            consensus=consensus,
        )
        return (prepared if box else replace(prepared, boxes=None)), truth, warnings
    volume, label_volume = _read(image), _read_labels(label, may_be_empty=True)
    ids, unit, warnings = _in_the_grid_of(volume, label_volume)
    maps = {
        name: _in_the_grid_of(volume, _read_labels(path, may_be_empty=True))[0]
        for name, path in (raters or {}).items()
    }
    ids = _agreed(ids, maps, consensus, label)
    if min(volume.grid_shape[:2]) == 1 < volume.grid_shape[2]:
        warnings.append(
            f"{image}: {volume.grid_shape} voxels (x, y, z), so every slice is a line: store the"
            " axis of length 1 as the third"
        )
    gts, label_ids = _sequential(ids.T, label, warnings, expected=expected, ignored=ignored)
    warnings += [f"{label}: {oddity}" for oddity in odd_labels(gts)]
    values = volume.data.transpose(2, 1, 0, *range(3, volume.data.ndim))
    imgs = _as_uint8(values, image, modality=modality, window=window, warnings=warnings)
    x, y, z = (float(v) for v in volume.spacing * unit)
    foreground = [number for number, label_id in label_ids.items() if label_id not in ignored]
    has_box = box and bool(np.isin(gts, foreground).any())
    boxes = boxes_of(gts, case=case, seed=seed) if has_box else None
    affine = np.diag([unit, unit, unit, 1.0]) @ volume.affine
    header = None if volume.header is None else header_bytes(volume.header)
    numbered = {name: _numbered(one.T, label_ids, gts.dtype) for name, one in maps.items()}
    warnings += _left_out(maps, label_ids.values())
    truth = Truth(gts, label_ids, affine, header, spacing_mm=(z, y, x), raters=numbered or None)
    return Image(imgs, (z, y, x), boxes, "xyz"), truth, warnings


def check_case(image: Path, label: Path) -> list[str]:
    """Return why a pair cannot be used, one line each; nothing where it can.

    Every file is read as a whole, so this costs nearly what preparing the case costs.
    """
    if _kind(image) == ".npz":
        return _problems(lambda: _ready_made(image, label, modality=None, window=None))
    read: list[Volume] = []
    problems = [
        *_problems(lambda: read.append(_read(image))),
        *_problems(lambda: read.append(_not_empty(_read_labels(label, may_be_empty=True)))),
    ]
    return problems or _problems(
        lambda: _sequential(_in_the_grid_of(*read)[0].T, label, warnings=[])
    )


def label_maps(
    truth: Path, answer: Path, *, may_be_empty: bool = False
) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float], list[str]]:
    """Return two label maps (z, y, x) on the truth's grid, its spacing in mm, and the warnings.

    The files are NIfTI or pictures, read and compared as `prepare_case` does; the answer may be
    empty, the truth only where `may_be_empty`. Raises CaseError with the file and the reason.
    """
    one, other = (
        _read_labels(truth, may_be_empty=may_be_empty),
        _read_labels(answer, may_be_empty=True),
    )
    try:
        ids, unit, warnings = _in_the_grid_of(one, other, than="truth")
    except CaseError as error:
        reason = str(error).removeprefix(f"{answer}: ")
        raise CaseError(f"{answer}: not in the space of {truth}: {reason}") from error
    x, y, z = (float(v) for v in one.spacing * unit)
    return one.data.T, ids.T, (z, y, x), warnings


def answer_to_nifti(segs: np.ndarray, truth: Truth) -> nibabel.Nifti1Image:
    """Return an answer (D, H, W) in the grid, affine and label ids of the image it belongs to.

    The answer to a slice case is put in its place in the whole volume, with background around. A
    label that the truth does not have becomes background, since it has no id there. A case that did
    not come from NIfTI gets the affine that the truth holds, or the identity.
    Raises CaseError where the shapes differ.
    """
    if segs.shape != truth.gts.shape:
        raise CaseError(f"the answer has the shape {segs.shape}, the truth {truth.gts.shape}")
    if truth.place is not None:
        segs = put_back(segs, truth.place)
    label_ids = truth.ids
    ids = np.zeros(segs.shape, _signed_or_uint8(max(label_ids.values(), default=0)))
    for label, original in label_ids.items():
        ids[segs == label] = original
    if truth.nifti_header is None:
        affine = np.eye(4) if truth.affine is None else truth.affine
        return nibabel.Nifti1Image(ids.T, affine, dtype=ids.dtype)
    header = header_from_bytes(truth.nifti_header)
    shape = header.get_data_shape()
    header.set_data_dtype(ids.dtype)
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = 0
    kind = nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    return kind(ids.T.reshape(shape, order="F"), header.get_best_affine(), header)


def _misfit(image: Path | None, label: Path, case: str, images: Path) -> str | None:
    """Return why a label file cannot be that of an image, by their names alone."""
    if image is None:
        return f"{label}: no image named {case} in {images}"
    if _kind(image) != _kind(label):
        return f"{label}: its image is {image.name}: give both as NIfTI, .npz or pictures"
    if _suffix(label) in {".jpg", ".jpeg"}:
        return f"{label}: JPEG changes values, so it cannot hold labels: use PNG"
    return None


def _files_by_case(folder: Path, key: str, problems: list[str]) -> dict[str, Path]:
    if not folder.is_dir():
        problems.append(f"cases.{key}: {folder} is not a folder")
        return {}
    files: dict[str, Path] = {}
    letters: dict[str, Path] = {}
    for path in sorted(p for p in folder.iterdir() if _suffix(p) and not p.name.startswith(".")):
        case = path.name[: -len(_suffix(path))]
        if not CASE_NAME.fullmatch(case):
            problems.append(f"{path}: rename it: a case name is made of A-Z a-z 0-9 . _ -")
        elif case in files:
            problems.append(f"{path}: {files[case].name} is the same case: keep one of the two")
        elif path.is_symlink() and not path.exists():
            problems.append(f"{path}: a link to {str(path.readlink())!r}, which is not there")
        elif case.lower() in letters:
            other = letters[case.lower()].name
            problems.append(
                f"{path}: differs from {other} only in upper and lower case: rename one"
            )
        else:
            files[case] = letters[case.lower()] = path
    if not files:
        problems.append(
            f"cases.{key}: {folder} holds no case named *{', *'.join(KINDS)}{_advice(folder)}"
        )
    return files


def _foreign_files(files: list[Path], key: str) -> list[str]:
    """Return one line where most of a folder's files are no data, as after a clone without git-lfs.

    Where the first is whole no other is opened: a single bad file is a case's own problem.
    """
    if not files or not (what := _foreign(files[0])):
        return []
    same = sum(_foreign(path) == what for path in files)
    if 2 * same <= len(files):
        return []
    return [f"cases.{key}: {same} of {len(files)} files, such as {files[0]}: {what}"]


def _foreign(path: Path) -> str | None:
    """Return what a file is that has no place under its name; an empty one is nothing here."""
    with path.open("rb") as file:
        head = file.read(FOREIGN_BYTES)
    own = {".npz": "zip archive", "picture": "picture"}.get(_kind(path))
    what = foreign(head) if head else None
    return None if what is None or (own and own in what) else what


def _advice(folder: Path) -> str:
    """Return what to do about a folder that holds files, but none that is taken."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    folders = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if files:
        with files[0].open("rb") as file:
            what = foreign(file.read(FOREIGN_BYTES))
        return f"; {files[0].name} is {what or 'of another type'}"
    if folders:
        return f"; all files must be in this one folder, not in folders such as {folders[0].name}"
    return ""


def _nnunet_channels(images: dict[str, Path], labels: dict[str, Path]) -> list[str]:
    """Return the images named as nnU-Net names channels, CASE_0000, whose labels are CASE."""
    return [
        name
        for name in images
        if name not in labels
        and _NNUNET_CHANNEL.search(name)
        and _NNUNET_CHANNEL.sub("", name) in labels
    ]


def _nnunet_advice(names: list[str], images: Path) -> str:
    cases = {_NNUNET_CHANNEL.sub("", name) for name in names}
    example = names[0]
    line = (
        f"cases.images: {images}: {len(names)} images are named as in nnU-Net, with _0000 for the"
        f" channel, their label maps are not: rename {example} to"
        f" {_NNUNET_CHANNEL.sub('', example)} and so on"
    )
    if len(names) > len(cases):
        line += "; a case has one image, so choose one channel"
    return line


def _suffix(path: Path) -> str:
    return next((suffix for suffix in KINDS if path.name.lower().endswith(suffix)), "")


def _kind(path: Path) -> str:
    return KINDS.get(_suffix(path), "NIfTI")  # read as one, any other file is reported as none


def _read(path: Path) -> Volume:
    return read_picture(path) if _kind(path) == "picture" else read_volume(path)


def _read_labels(path: Path, *, may_be_empty: bool = False) -> Volume:
    volume = read_picture(path, is_label=True) if _kind(path) == "picture" else read_volume(path)
    data = volume.data
    if volume.slope != 1 and data.ndim == 3:
        data = _unscaled_labels(data, volume)
    return replace(volume, data=_integer_labels(data.T, path, may_be_empty=may_be_empty).T)


def _unscaled_labels(data: np.ndarray, volume: Volume) -> np.ndarray:
    """Return labels that the header's slope moved a little off the integers on the integers.

    nibabel stores labels in float as int16 times a slope such as 9.155e-05, so 3 comes back as
    3.00004578.
    """
    whole = np.rint(data)
    off = float(np.abs(data - whole).max())
    if off > _SCALING_ERROR:
        raise CaseError(
            f"{volume.path}: labels are not integers (by up to {off:.2g}): the header scales them,"
            f" scl_slope is {volume.slope:g}: store labels as integers without it"
        )
    if off > 0:
        volume.warnings.append(
            f"{volume.path}: labels are up to {off:.2g} off the integers, by the header's"
            f" scl_slope: they are rounded"
        )
    return whole


def _problems(read: Callable[[], object]) -> list[str]:
    try:
        read()
    except CaseError as error:
        return [str(error)]
    return []


def _integer_labels(data: np.ndarray, path: Path, *, may_be_empty: bool = False) -> np.ndarray:
    """Return a label map with an integer dtype; any exact integers are labels, floats too."""
    if data.ndim != 3 or data.dtype.kind not in "iufb":
        raise CaseError(f"{path}: colours or other values where each voxel needs one integer label")
    check_finite(data.T, path)
    if data.dtype.kind == "f" and any((plane != np.rint(plane)).any() for plane in data):
        raise CaseError(f"{path}: labels are not integers: was it resampled? use nearest neighbour")
    lowest, largest = data.min(), data.max()
    if lowest < 0:
        raise CaseError(f"{path}: negative labels (down to {int(lowest)}): 0 is background")
    if largest == 0 and not may_be_empty:
        raise CaseError(f"{path}: the label map is empty")
    if largest > _LARGEST_ID:
        raise CaseError(f"{path}: label id {int(largest)} is too large: use ids below 2^53")
    return data.astype(smallest_unsigned(int(largest)), copy=False)


def _in_the_grid_of(
    image: Volume, label: Volume, *, than: str = "image"
) -> tuple[np.ndarray, float, list[str]]:
    """Return the labels in the axis order of the image, the mm per unit, and the warnings.

    than: what messages call the first of the two.
    """
    if than == "image" and image.path.resolve() == label.path.resolve():
        raise CaseError(f"{image.path}: is given as image and as label map")
    ids = label.data
    warnings = [*image.warnings, *label.warnings]
    unit = image.mm_per_unit or label.mm_per_unit or 1.0
    if unit != 1.0:
        warnings.append(f"{image.path}: its unit is {unit:g} mm: spacing is turned to mm")
    affine = label.affine.copy()
    affine[:3] *= (label.mm_per_unit or unit) / unit
    orientation = _orientation(affine, image.affine)
    if orientation is not None:
        affine = affine @ inv_ornt_aff(orientation, ids.shape)
        ids = apply_orientation(ids, orientation)
    if ids.shape != image.grid_shape:
        raise CaseError(
            f"{label.path}: its shape {label.grid_shape} is not the {than}'s,"
            f" {image.grid_shape} (x, y, z)"
        )
    if not same_grid(affine, image.affine, ids.shape, spacing=image.spacing):
        away = farthest_corner(affine, image.affine, ids.shape) * unit
        raise CaseError(
            f"{label.path}: its affine puts a corner {away:.4g} mm from where the {than}'s puts it;"
            f" {GRID_TOLERANCE_VOXELS} of a voxel is tolerated"
            + (" (only one of the two has a form code)" * (image.is_placed != label.is_placed))
        )
    if orientation is not None and (orientation != [[0, 1], [1, 1], [2, 1]]).any():
        warnings.append(f"{label.path}: turned to the axis order of {image.path}")
    return ids, unit, warnings


def _orientation(affine: np.ndarray, onto: np.ndarray) -> np.ndarray | None:
    """Return which axis, in which direction, each axis of `affine` is in `onto`.

    The form is nibabel's: one (axis, 1 or -1) a row. None where the axes are not parallel.
    """
    turn = np.rint(np.linalg.solve(onto[:3, :3], affine[:3, :3]))
    if (np.abs(turn).sum(axis=0) != 1).any() or (np.abs(turn).sum(axis=1) != 1).any():
        return None
    axes = np.abs(turn).argmax(axis=0)
    return np.column_stack([axes, turn[axes, [0, 1, 2]]])


def _not_empty(volume: Volume) -> Volume:
    """Return a label map that has a label; raises CaseError as `_asked_for`."""
    if not volume.data.any():
        _asked_for(volume.path, [], None, [])
    return volume


def _asked_for(
    path: Path, present: Sequence[int], expected: Sequence[int] | None, warnings: list[str]
) -> list[int]:
    """Return the ids that a case without foreground is asked for: all that it could have had.

    present: the ids in it, which are all ignored. Raises CaseError where it cannot be used.
    """
    what = f"the label map is empty{' but for the ignored label' if present else ''}"
    if expected is None:
        raise CaseError(
            f"{path}: {what}; a case without foreground can be used where a metric of the protocol "
            "says what it counts (`empty`, docs/protocols.md)"
        )
    if not expected:
        raise CaseError(
            f"{path}: {what}, and nothing says which labels it could have: give a sheet of labels "
            "(sheets.labels)"
        )
    shown = ", ".join(map(str, expected[:20]))
    warnings.append(f"{path}: {what}: it is asked for the labels of the sheet ({shown})")
    return sorted({*expected, *present})


def _sequential(
    ids: np.ndarray,
    path: Path,
    warnings: list[str],
    *,
    expected: Sequence[int] | None = None,
    ignored: Sequence[int] = (),
) -> tuple[np.ndarray, dict[int, int]]:
    """Return the labels as 1..n in the order of their ids, and the id of each."""
    present = sorted(set().union(*(np.unique(plane).tolist() for plane in ids)))
    if not set(present).difference([0, *ignored]):
        labels = [label_id for label_id in present if label_id != 0]
        present = [0, *_asked_for(path, labels, expected, warnings)]
    elif 0 not in present:
        warnings.append(f"{path}: labels cover every voxel: there is no background")
        present = [0, *present]
    if len(present) - 1 > _MOST_LABELS:
        raise CaseError(f"{path}: {len(present) - 1} labels, at most {_MOST_LABELS} can be used")
    known = np.array(present, np.promote_types(ids.dtype, smallest_unsigned(present[-1])))
    gts = np.empty(ids.shape, smallest_unsigned(len(present) - 1))
    for source, target in zip(ids, gts, strict=True):
        target[...] = np.searchsorted(known, source)
    return gts, dict(enumerate(present[1:], start=1))


def _agreed(
    given: np.ndarray, maps: Mapping[str, np.ndarray], consensus: str, path: Path
) -> np.ndarray:
    """Return the label map that the user goes by, of the same shape.

    given: that of the case's own file. maps: those of the raters. consensus: one of
    `segarena.prepare.raters.WAYS`, or the name of a rater. Raises CaseError where it cannot be had.
    """
    if consensus == GIVEN:
        return given
    if not maps:
        raise CaseError(f"{path}: cases.consensus is {consensus}, but this case has no raters")
    if consensus == MAJORITY:
        return majority(list(maps.values()))
    if consensus == STAPLE:
        return staple(list(maps.values()))
    if consensus not in maps:
        raise CaseError(
            f"{path}: cases.consensus is {consensus!r}, but the raters of this case are "
            f"{', '.join(maps)}"
        )
    return maps[consensus]


def _numbered(ids: np.ndarray, label_ids: Mapping[int, int], dtype: np.dtype) -> np.ndarray:
    """Return a rater's map with the numbers of the consensus; its other labels are background."""
    numbers = np.zeros(ids.shape, dtype)
    for number, label_id in label_ids.items():
        numbers[ids == label_id] = number
    return numbers


def _left_out(maps: Mapping[str, np.ndarray], known: Collection[int]) -> list[str]:
    """Return a warning where raters marked labels that the consensus does not have."""
    found = {int(v) for one in maps.values() for v in np.unique(one)} - {0, *known}
    shown = ", ".join(map(str, sorted(found)[:20]))
    return [f"the consensus has no voxel of label {shown}, which raters marked"] if found else []


def _as_uint8(
    values: np.ndarray,
    path: Path,
    *,
    modality: str | None,
    window: str | None,
    warnings: list[str],
) -> np.ndarray:
    """Return grey values (D, H, W) by window or percentiles, RGB (D, H, W, 3) as it is."""
    if values.ndim == 4:
        if window is not None:
            warnings.append(f"{path}: RGB is taken as it is, without the window {window}")
        return np.ascontiguousarray(values)
    chosen = chosen_window(modality=modality, window=window)
    imgs = by_percentiles(values) if chosen is None else windowed(values, chosen)
    oddities = odd_intensities(values, imgs, modality=modality, window=window)
    warnings += [f"{path}: {oddity}" for oddity in oddities]
    return imgs


def _ready_made(
    image: Path,
    label: Path,
    *,
    modality: str | None,
    window: str | None,
    npz_spacing: str = "zyx",
    expected: Sequence[int] | None = None,
    ignored: Sequence[int] = (),
    raters: Mapping[str, Path] | None = None,
    consensus: str = GIVEN,
) -> tuple[Image, Truth, list[str]]:
    """Return a ready-made case as it is, once it is sure to be one; 2D arrays become one slice."""
    try:
        prepared, truth = read_image(image, spacing_order=npz_spacing), read_truth(label)
    except MemoryError as error:
        raise CaseError(f"{image}: it or {label} declares more than the memory holds") from error
    imgs, gts, warnings = prepared.imgs, truth.gts, list[str]()
    if gts.ndim == 2:
        imgs, gts = imgs[np.newaxis], gts[np.newaxis]
        if imgs.ndim == 3 and imgs.dtype.kind in "iuf" and imgs.dtype != np.uint8:
            check_finite(imgs, image)
            imgs = _as_uint8(imgs, image, modality=modality, window=window, warnings=warnings)
            window = None
    if imgs.dtype != np.uint8 or not (imgs.ndim == 3 or (imgs.ndim == 4 and imgs.shape[3] == 3)):
        raise CaseError(
            f"{image}: imgs is {imgs.dtype} {imgs.shape}, expected uint8 (D, H, W) or (D, H, W, 3)"
        )
    if gts.shape != imgs.shape[:3]:
        raise CaseError(f"{label}: gts is {gts.shape}, but imgs is {imgs.shape}")
    gts = _integer_labels(gts, label, may_be_empty=True)
    maps = _ready_made_raters(label, raters, gts.shape)
    gts = np.ascontiguousarray(_agreed(gts, maps, consensus, label))
    if gts.max() > _MOST_LABELS:
        raise CaseError(
            f"{label}: label id {gts.max()}: a ready-made case keeps its ids, which can be at most"
            f" {_MOST_LABELS}: number its labels 1, 2, 3, ..."
        )
    warnings += [f"{label}: {oddity}" for oddity in odd_labels(gts)]
    label_ids = None
    present = Truth(gts).labels
    if not set(present).difference(ignored):
        asked = _asked_for(label, present, expected, warnings)
        label_ids = {label_id: label_id for label_id in asked}
        prepared = replace(prepared, boxes=None)
    if prepared.boxes is not None:
        warnings += check_boxes(prepared.boxes, gts, image)
    if window is not None:
        warnings.append(f"{image}: ready-made, taken as it is, without the window {window}")
    warnings += [f"{image}: {oddity}" for oddity in odd_spacing(prepared)]
    affine = np.diag([*prepared.spacing_mm[::-1], 1.0])
    ids = label_ids or {number: number for number in present}
    maps_of_labels = {name: _numbered(one, ids, gts.dtype) for name, one in maps.items()}
    warnings += _left_out(maps, ids.values())
    truth = Truth(
        gts, label_ids, affine, spacing_mm=prepared.spacing_mm, raters=maps_of_labels or None
    )
    return replace(prepared, imgs=imgs), truth, warnings


def _ready_made_raters(
    label: Path, raters: Mapping[str, Path] | None, shape: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Return the raters' maps of a ready-made case, of files of their own or of the label file."""
    if raters:
        maps = {name: (path, read_truth(path).gts) for name, path in raters.items()}
    else:
        maps = {name: (label, one) for name, one in read_raters(label).items()}
    found = {}
    for name, (path, gts) in maps.items():
        one = gts[np.newaxis] if gts.ndim == 2 else gts
        if one.shape != shape:
            raise CaseError(f"{path}: rater {name}: the map is {one.shape}, the image {shape}")
        found[name] = _integer_labels(one, path, may_be_empty=True)
    return found


def _signed_or_uint8(largest: int) -> np.dtype:
    """Return the smallest dtype for ids that every NIfTI reader knows."""
    kinds = (np.uint8, np.int16, np.int32, np.int64)
    return np.dtype(next(kind for kind in kinds if largest <= np.iinfo(kind).max))
