import shutil

from craft.copies import Copied, Copies, Renamed
from datasources.models import DataSource, DataTable


def copy_files(source: DataSource, made: DataSource, renamed: Renamed) -> None:
    if not source.folder.is_dir():
        return
    made.folder.mkdir(parents=True, exist_ok=True)
    for path in source.folder.iterdir():
        shutil.copyfile(path, made.folder / renamed(path.name))


def remove_files(source: DataSource) -> None:
    source.remove_files()


COPIES: Copies = {
    DataSource: Copied(copy_files=copy_files, remove_files=remove_files),
    DataTable: Copied(),
}
