import shutil

from craft.copies import Copied, Copies, Renamed
from datasources.models import DataSource, DataTable


def copy_files(source: DataSource, made: DataSource, renamed: Renamed) -> None:
    if not source.folder.is_dir():
        return
    made.folder.mkdir(parents=True, exist_ok=True)
    for path in source.folder.iterdir():
        shutil.copyfile(path, made.folder / renamed(path.name))


COPIES: Copies = {
    DataSource: Copied(copy_files=copy_files, folder_of=lambda source: source.folder),
    DataTable: Copied(),
}
