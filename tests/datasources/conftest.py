from pathlib import Path

import pytest

from datasources import services
from datasources.uploads import Upload

ORDERS = """id,amount,name,day,paid
1,10.50,Anna,2025-01-05,true
2,20.25,Bert,2025-01-20,true
3,30.00,Carl,2025-02-03,false
4,20.00,Anna,2025-02-10,true
5,50.00,Bert,2025-03-01,true
6,5.75,Carl,2025-03-05,false
"""
CUSTOMERS = """name,city,since
Anna,Aachen,2020-01-01
Bert,Bonn,2021-01-01
Carl,Köln,2022-01-01
Dora,Düren,2023-01-01
"""


@pytest.fixture
def upload(tmp_path):
    """`upload("orders.csv", "id\\n1")` is a file as it comes in."""
    folder = tmp_path / "incoming"

    def make(name: str, content: str | bytes) -> Upload:
        folder.mkdir(exist_ok=True)
        path: Path = folder / f"{len(list(folder.iterdir()))}.upload"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return Upload(name, path)

    return make


@pytest.fixture
def shop(alice, upload):
    """Alice's source, with the tables `orders` and `customers`."""
    return services.create_file_source(
        company=alice.company,
        user=alice.user,
        source_name="Shop",
        files=[upload("orders.csv", ORDERS), upload("customers.csv", CUSTOMERS)],
    )
