"""Write down which image the config's base_image is, so that every folder runs in the same one."""

from segarena.files import write_json
from segarena.predict.runners import runner


def main(output: str, *, runtime: str, base_image: str) -> None:
    """Look base_image up once; a name that is moved later changes nothing."""
    image_id = runner("docker" if runtime == "auto" else runtime, base_image).base_id()
    write_json(output, {"base_image": base_image, "image_id": image_id})
