"""The class names of the datasets, in the order of their labels: known before anything is downloaded."""

from __future__ import annotations


def _listed(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in " ".join(text.split()).split(","))


def idx_files(name: str) -> tuple[str, ...]:
    """What is downloaded of MNIST and those in its format, as paths below the data folder."""
    return tuple(f"{name}/raw/{part}-ubyte.gz" for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"))


DIGITS = tuple("0123456789")
DIGITS_0_4, DIGITS_5_9 = DIGITS[:5], DIGITS[5:]
SHAPES = _listed("circle, square, triangle, star, cross, ring")
CLOTHES = _listed("T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot")
KUZUSHIJI = _listed("o, ki, su, tsu, na, ha, ma, ya, re, wo")
CIFAR10 = _listed("airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck")
STL10 = _listed("airplane, bird, car, cat, deer, dog, horse, monkey, ship, truck")
EUROSAT = _listed("annual crop, forest, herbaceous vegetation, highway, industrial, pasture, permanent crop, residential, river, sea or lake")
CIFAR100 = _listed(
    """
    apple, aquarium fish, baby, bear, beaver, bed, bee, beetle, bicycle, bottle, bowl, boy, bridge, bus, butterfly, camel, can, castle,
    caterpillar, cattle, chair, chimpanzee, clock, cloud, cockroach, couch, crab, crocodile, cup, dinosaur, dolphin, elephant, flatfish, forest,
    fox, girl, hamster, house, kangaroo, keyboard, lamp, lawn mower, leopard, lion, lizard, lobster, man, maple tree, motorcycle, mountain,
    mouse, mushroom, oak tree, orange, orchid, otter, palm tree, pear, pickup truck, pine tree, plain, plate, poppy, porcupine, possum, rabbit,
    raccoon, ray, road, rocket, rose, sea, seal, shark, shrew, skunk, skyscraper, snail, snake, spider, squirrel, streetcar, sunflower, sweet
    pepper, table, tank, telephone, television, tiger, tractor, train, trout, tulip, turtle, wardrobe, whale, willow tree, wolf, woman, worm
    """
)
PETS = _listed(
    """
    Abyssinian, American Bulldog, American Pit Bull Terrier, Basset Hound, Beagle, Bengal, Birman, Bombay, Boxer, British Shorthair, Chihuahua,
    Egyptian Mau, English Cocker Spaniel, English Setter, German Shorthaired, Great Pyrenees, Havanese, Japanese Chin, Keeshond, Leonberger,
    Maine Coon, Miniature Pinscher, Newfoundland, Persian, Pomeranian, Pug, Ragdoll, Russian Blue, Saint Bernard, Samoyed, Scottish Terrier,
    Shiba Inu, Siamese, Sphynx, Staffordshire Bull Terrier, Wheaten Terrier, Yorkshire Terrier
    """
)
FLOWERS = _listed(
    """
    pink primrose, hard-leaved pocket orchid, canterbury bells, sweet pea, english marigold, tiger lily, moon orchid, bird of paradise,
    monkshood, globe thistle, snapdragon, colt's foot, king protea, spear thistle, yellow iris, globe-flower, purple coneflower, peruvian lily,
    balloon flower, giant white arum lily, fire lily, pincushion flower, fritillary, red ginger, grape hyacinth, corn poppy, prince of wales
    feathers, stemless gentian, artichoke, sweet william, carnation, garden phlox, love in the mist, mexican aster, alpine sea holly,
    ruby-lipped cattleya, cape flower, great masterwort, siam tulip, lenten rose, barbeton daisy, daffodil, sword lily, poinsettia, bolero deep
    blue, wallflower, marigold, buttercup, oxeye daisy, common dandelion, petunia, wild pansy, primula, sunflower, pelargonium, bishop of
    llandaff, gaura, geranium, orange dahlia, pink-yellow dahlia?, cautleya spicata, japanese anemone, black-eyed susan, silverbush, californian
    poppy, osteospermum, spring crocus, bearded iris, windflower, tree poppy, gazania, azalea, water lily, rose, thorn apple, morning glory,
    passion flower, lotus, toad lily, anthurium, frangipani, clematis, hibiscus, columbine, desert-rose, tree mallow, magnolia, cyclamen,
    watercress, canna lily, hippeastrum, bee balm, ball moss, foxglove, bougainvillea, camellia, mallow, mexican petunia, bromelia, blanket
    flower, trumpet creeper, blackberry lily
    """
)
